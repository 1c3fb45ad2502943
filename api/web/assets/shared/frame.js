// The frame around every page: the name of the house, how the feed stands, and who has signed in.

import { announce, fill, h, write } from "./dom.js";
import { session } from "./session.js";

const STATES = { off: "", connecting: "Connecting …", live: "Live", reconnecting: "Reconnecting …" };

/** Draw the frame; `feed` is the one whose state it shows, `home` where its name leads. */
export function drawFrame(element, { feed, home, page }) {
  const words = h("span");
  const state = h("p", { class: "feed-state", "data-state": "off" }, words);
  const account = h("div", { class: "account" });
  fill(element, h("a", { class: "brand", href: home }, "Greenroom"), h("h1", { class: "page-name" }, page), state, account);
  let was = "off";

  feed.addEventListener("state", () => {
    state.dataset.state = feed.state;
    write(words, STATES[feed.state]);
    // Only a loss and its end are worth interrupting anybody for.
    if (feed.state === "reconnecting") announce("The connection was lost. Reconnecting.");
    if (was === "reconnecting" && feed.state === "live") announce("Connected again.");
    if (feed.state !== "connecting") was = feed.state;
  });

  const show = () => {
    const who = session.is;
    if (!who) return fill(account);
    const out = h("button", { type: "button", class: "quiet", onclick: () => signOut(out) }, "Sign out");
    return fill(account, h("p", { class: "who" }, h("b", {}, who.user), h("span", {}, ` · ${who.tenant}`)), out);
  };
  session.addEventListener("change", show);
  show();
}

async function signOut(button) {
  button.disabled = true;
  try {
    await session.signOut();
  } catch (problem) {
    announce(problem.message);
    button.disabled = false;
  }
}
