// Reading a book, a chapter at a time. Its HTML is read as a document that is never shown; of that only text comes in here,
// into elements of our own: whatever else a stranger's PDF may have put there stays outside.

import { API, readDocument } from "../shared/api.js";
import { fill, h } from "../shared/dom.js";

const LANGUAGE = /^[a-z]{2,3}(-[A-Za-z0-9]{1,8})*$/;
const PAGE = /^page-(\d{1,6})$/;
const PLACE = /^#chapter-(\d{1,6})$/;

export class Reader {
  #parts = [];
  #at = -1;
  #closed = false;

  constructor(book) {
    this.book = book;
    this.text = h("article", { class: "text", "aria-busy": "true" }, h("p", { class: "loading" }, "Opening …"));
    this.contents = h("nav", { class: "contents", "aria-label": "Contents" });
    this.element = h("div", { class: "reader" }, this.contents, this.text);
    this.hear = () => this.follow();
    window.addEventListener("hashchange", this.hear);
    this.#load();
  }

  /** Show the chapter that the address names. */
  follow() {
    if (!this.#parts.length) return;
    const named = PLACE.exec(location.hash);
    if (!named && location.hash && this.#at >= 0) return; // another place on the page
    const number = Number(named?.[1] ?? 1);
    const place = Math.min(this.#parts.length, Math.max(1, number)) - 1;
    if (place !== this.#at) this.#show(place);
  }

  close() {
    this.#closed = true;
    window.removeEventListener("hashchange", this.hear);
  }

  async #load() {
    try {
      const source = await readDocument(`${API}/books/${this.book.id}/html`);
      if (this.#closed) return;
      this.#parts = [...source.querySelectorAll("main > section")].map(part);
      const language = source.documentElement.lang;
      if (LANGUAGE.test(language)) this.text.lang = language;
      this.note = source.querySelector("body > .note")?.textContent ?? "";
      this.text.removeAttribute("aria-busy");
      if (!this.#parts.length) {
        fill(this.text, this.#remark() ?? h("p", { class: "empty" }, "This book holds no text."));
        this.contents.remove();
        return;
      }
      this.#drawContents();
      this.follow();
    } catch (problem) {
      this.text.removeAttribute("aria-busy");
      if (this.#closed || problem.status === 401) return;
      const again = () => {
        fill(this.text, h("p", { class: "loading" }, "Opening …"));
        this.#load();
      };
      fill(
        this.text,
        h("p", { class: "error", role: "alert" }, problem.message),
        h("button", { type: "button", onclick: again }, "Try again"),
      );
    }
  }

  #remark() {
    return this.note ? h("p", { class: "notice", dir: "auto" }, this.note) : null;
  }

  #drawContents() {
    if (this.#parts.length < 2) return this.contents.remove();
    const links = this.#parts.map(({ title }, place) => h("li", {}, h("a", { href: `#chapter-${place + 1}`, dir: "auto" }, title)));
    // Open where there is room for it, closed above the text where there is not.
    const list = h("details", { open: matchMedia("(min-width: 75rem)").matches }, h("summary", {}, "Contents"), h("ol", {}, links));
    for (const link of list.querySelectorAll("a")) {
      link.addEventListener("click", () => matchMedia("(min-width: 75rem)").matches || (list.open = false));
    }
    fill(this.contents, list);
  }

  #show(place) {
    const first = this.#at < 0;
    this.#at = place;
    const { title, blocks, own } = this.#parts[place];
    const heading = h("h3", { tabindex: "-1", dir: "auto", class: own ? "chapter" : "chapter unseen" }, title);
    fill(this.text, place === 0 ? this.#remark() : null, heading, blocks.map(drawn), this.#turns(place));
    this.contents.querySelectorAll("a").forEach((link, number) => {
      if (number === place) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    });
    if (first) return;
    heading.focus({ preventScroll: true });
    this.text.scrollIntoView({ block: "start" });
  }

  #turns(place) {
    const link = (to, words, rel) => {
      const part = this.#parts[to];
      if (!part) return h("span");
      return h("a", { href: `#chapter-${to + 1}`, rel }, h("small", {}, words), h("span", { dir: "auto" }, part.title));
    };
    if (this.#parts.length < 2) return null;
    return h("nav", { class: "turns", "aria-label": "Chapters" }, link(place - 1, "Before", "prev"), link(place + 1, "Next", "next"));
  }
}

function part(section, place) {
  const given = section.querySelector(":scope > h2")?.textContent.trim();
  const blocks = [...section.querySelectorAll(":scope > p, :scope > h3")].map((block) => ({
    heading: block.localName === "h3",
    text: block.textContent,
    page: PAGE.exec(block.id)?.[1] ?? null,
  }));
  return { title: given || (place ? `Part ${place + 1}` : "Opening"), own: Boolean(given), blocks };
}

function drawn({ heading, text, page }) {
  const number = page ? h("span", { class: "page-number", "aria-hidden": "true", "data-page": page }) : null;
  return h(heading ? "h4" : "p", { dir: "auto" }, number, text);
}
