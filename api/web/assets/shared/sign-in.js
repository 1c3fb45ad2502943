// Signing in: one field for the key, which is sent once and then forgotten.

import { fill, h } from "./dom.js";
import { session } from "./session.js";

/** Show the form; `why` says, if anything, why it is shown again. */
export function showSignIn(element, why = "") {
  const key = h("input", {
    id: "key", name: "key", type: "password", autocomplete: "current-password", autocapitalize: "off", spellcheck: "false",
    required: true, maxlength: "1000", "aria-describedby": "key-hint key-error",
  });
  const error = h("p", { id: "key-error", class: "error", role: "alert" });
  const button = h("button", { type: "submit", class: "primary" }, "Sign in");
  const form = h(
    "form", { class: "sign-in", method: "post", novalidate: true, onsubmit: submit },
    h("h2", { class: "title" }, "Sign in"),
    why ? h("p", { class: "notice", role: "status" }, why) : null,
    h("label", { for: "key" }, "API key"),
    key,
    error,
    button,
    h("p", { id: "key-hint", class: "hint" }, "The key that you were given; it begins with gr_. It is not kept in this browser."),
  );
  fill(element, form);
  key.focus();

  async function submit(event) {
    event.preventDefault();
    const given = key.value.trim();
    if (!given) return refuse("Enter your API key.");
    button.disabled = true;
    form.setAttribute("aria-busy", "true");
    error.textContent = "";
    try {
      await session.signIn(given);
    } catch (problem) {
      const wait = problem.retryAfter ? ` Try again in ${problem.retryAfter} seconds.` : "";
      refuse(problem.status === 401 ? "This key is not valid, or no longer." : problem.message + wait);
    } finally {
      key.value = "";
      button.disabled = false;
      form.removeAttribute("aria-busy");
    }
  }

  function refuse(sentence) {
    error.textContent = sentence;
    key.setAttribute("aria-invalid", "true");
    key.focus();
  }
}
