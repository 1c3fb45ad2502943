// The feed: what happens to one's jobs, as it happens. It comes back by itself, and says how it stands.

import { API } from "./api.js";
import { session } from "./session.js";

const NAMES = ["enqueued", "active", "progress", "retrying", "completed", "failed", "cancelled"];
const FIRST_WAIT = 1000;
const LONGEST_WAIT = 15000;

/** Tells of `job` (an event, its name without `job.`), of `state` (off, connecting, live, reconnecting), and of `open`:
 * from there on nothing is missed, so whoever shows something looks at it anew. */
export class Feed extends EventTarget {
  #source = null;
  #timer = 0;
  #wait = FIRST_WAIT;
  #wanted = false;
  state = "off";

  constructor() {
    super();
    // A browser has few connections to a server, and a tab that nobody sees needs none of them.
    document.addEventListener("visibilitychange", () => this.#follow());
    window.addEventListener("online", () => this.#again());
    window.addEventListener("pagehide", () => this.#drop("off"));
    window.addEventListener("pageshow", () => this.#follow());
  }

  open() {
    this.#wanted = true;
    this.#follow();
  }

  close() {
    this.#wanted = false;
    this.#drop("off");
  }

  #follow() {
    if (!this.#wanted || document.hidden) this.#drop("off");
    else if (this.#source === null && !this.#timer) this.#connect();
  }

  #again() {
    if (this.#timer) this.#connect();
  }

  #connect() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    if (this.state !== "reconnecting") this.#becomes("connecting");
    const source = new EventSource(`${API}/events`);
    this.#source = source;
    source.addEventListener("open", () => {
      this.#wait = FIRST_WAIT;
      this.#becomes("live");
      this.dispatchEvent(new Event("open"));
    });
    source.addEventListener("error", () => this.#lost(source));
    for (const name of NAMES) {
      source.addEventListener(`job.${name}`, (event) => {
        this.dispatchEvent(new CustomEvent("job", { detail: { name, ...JSON.parse(event.data) } }));
      });
    }
  }

  #lost(source) {
    if (source !== this.#source) return;
    this.#becomes("reconnecting");
    // A stream that broke is asked for again by the browser; one that was refused is not, and then it may be the session.
    if (source.readyState !== EventSource.CLOSED) return;
    source.close();
    this.#source = null;
    session.load().catch(() => {});
    this.#timer = setTimeout(() => this.#connect(), this.#wait * (0.75 + Math.random() / 2));
    this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT);
  }

  #drop(state) {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#source?.close();
    this.#source = null;
    this.#becomes(state);
  }

  #becomes(state) {
    if (state === this.state) return;
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }
}
