// Who has signed in. The key is sent once and kept nowhere; from then on the browser carries a cookie that no script can read.

import { call, onRefused, useCsrf } from "./api.js";

const PATH = "/session";
const OVER = "Your session is over. Sign in again to go on.";
const LEFT = "You have signed out.";

class Session extends EventTarget {
  #channel = new BroadcastChannel("greenroom-session");
  #is = undefined; // not known yet

  constructor() {
    super();
    onRefused(() => this.#becomes(null, OVER));
    // Tabs of one browser share the cookie, so they come and go together.
    this.#channel.addEventListener("message", ({ data }) => {
      if (data === "out") this.#becomes(null, LEFT);
      else this.load().catch(() => {});
    });
  }

  /** Who has signed in (`user`, `tenant`, `scope`, …), or null. */
  get is() {
    return this.#is ?? null;
  }

  /** Ask the server who has signed in. */
  async load() {
    this.#becomes(await call("GET", PATH), OVER);
  }

  /** Sign in; throws a Problem. */
  async signIn(key) {
    this.#becomes(await call("POST", PATH, { body: { key } }), "");
    this.#channel.postMessage("in");
  }

  /** Sign out, here and in all tabs; throws a Problem. */
  async signOut() {
    await call("DELETE", PATH);
    this.#becomes(null, LEFT);
    this.#channel.postMessage("out");
  }

  #becomes(who, why) {
    const before = this.#is;
    this.#is = who;
    useCsrf(who?.csrf ?? "");
    if (before !== undefined && before?.csrf === who?.csrf) return;
    this.dispatchEvent(new CustomEvent("change", { detail: { why: before ? why : "" } }));
  }
}

export const session = new Session();
