// The shelf: one's books, newest first, each a link.

import { API, call } from "../shared/api.js";
import { fill, h, write } from "../shared/dom.js";
import { count, day } from "../shared/words.js";

const PAGE = 50;
const MOST = 200;
const REFRESH_AFTER = 250;

export class Shelf {
  #books = new Map();
  #list = h("ul", { class: "book-list" });
  #foot = h("div", { class: "shelf-foot" });
  #more = false;
  #chosen = "";
  #timer = 0;
  #asking = 0;
  #loaded = false;

  constructor() {
    const title = h("h2", { tabindex: "-1" }, "Your books");
    const named = { class: "own-books", "aria-label": "Your books", "aria-busy": "true" };
    this.element = h("section", named, title, this.#list, this.#foot);
    fill(this.#list, [1, 2, 3].map(() => h("li", { class: "ghost", "aria-hidden": "true" })));
  }

  /** Read the list from its beginning, as far as it was read before. */
  async load() {
    const turn = ++this.#asking;
    const limit = Math.min(MOST, Math.max(PAGE, this.#books.size));
    try {
      const page = await call("GET", `${API}/books?limit=${limit}`);
      if (turn !== this.#asking) return;
      const ends = page.next_cursor === null;
      const beyond = ends ? [] : [...this.#books.values()].filter((book) => book.id < page.items.at(-1).id);
      this.#books = new Map([...page.items, ...beyond].map((book) => [book.id, book]));
      this.#more = !ends && (this.#more || !beyond.length);
      this.#loaded = true;
      this.#draw();
    } catch (problem) {
      if (turn === this.#asking && problem.status !== 401) this.#fail(problem);
    } finally {
      this.element.removeAttribute("aria-busy");
    }
  }

  /** Read the list once, however much happens at a time. */
  refreshSoon() {
    this.#timer ||= setTimeout(() => {
      this.#timer = 0;
      this.load();
    }, REFRESH_AFTER);
  }

  /** Show a book as it is now. */
  put(book) {
    const known = this.#books.has(book.id);
    this.#books = known ? this.#books.set(book.id, book) : new Map([[book.id, book], ...this.#books]);
    this.#draw();
  }

  /** Take a book out. */
  remove(id) {
    this.#books.delete(id);
    this.#draw();
  }

  /** Mark the book that is open. */
  choose(id) {
    this.#chosen = id;
    for (const link of this.#list.querySelectorAll("a")) mark(link, link.dataset.book === id);
  }

  close() {
    clearTimeout(this.#timer);
    this.#asking += 1;
  }

  #draw() {
    const items = [...this.#books.values()].sort((one, other) => (one.id < other.id ? 1 : -1));
    const present = new Map([...this.#list.children].map((item) => [item.dataset.book, item]));
    // What is there stays the same element: the focus may be on it.
    const wanted = items.map((book) => refreshed(present.get(book.id) ?? entry(book.id), book, book.id === this.#chosen));
    if (wanted.length !== this.#list.children.length || wanted.some((item, place) => item !== this.#list.children[place])) {
      const focused = document.activeElement;
      fill(this.#list, wanted);
      if (focused?.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true });
    }
    if (!items.length && this.#loaded) {
      fill(this.#foot, h("p", { class: "empty" }, "No books yet. Drop a PDF above, and it will stand here."));
    } else if (this.#more) {
      fill(this.#foot, h("button", { type: "button", class: "quiet", onclick: () => this.#readOn() }, "Show more"));
    } else fill(this.#foot);
  }

  async #readOn() {
    const last = [...this.#books.keys()].sort()[0];
    try {
      let cursor = null;
      let page;
      do {
        page = await call("GET", `${API}/books?limit=${MOST}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
        for (const book of page.items) this.#books.set(book.id, book);
        cursor = page.next_cursor;
      } while (cursor && page.items.every((book) => book.id >= last));
      this.#more = cursor !== null;
      this.#draw();
    } catch (problem) {
      if (problem.status !== 401) this.#fail(problem);
    }
  }

  #fail(problem) {
    if (!this.#loaded) fill(this.#list);
    fill(
      this.#foot,
      h("p", { class: "error", role: "alert" }, problem.message),
      h("button", { type: "button", onclick: () => this.load() }, "Try again"),
    );
  }
}

function entry(id) {
  const link = h(
    "a", { href: `/books/${id}`, "data-book": id },
    h("span", { class: "spine", "data-hue": String(parseInt(id.slice(-2), 16) % 6), "aria-hidden": "true" }),
    h("span", { class: "book-title", dir: "auto" }),
    h("span", { class: "book-state" }),
  );
  return h("li", { "data-book": id }, link);
}

function refreshed(item, book, chosen) {
  const link = item.firstChild;
  mark(link, chosen);
  link.dataset.status = book.status;
  write(link.querySelector(".book-title"), book.title);
  write(link.querySelector(".book-state"), state(book));
  return item;
}

function mark(link, chosen) {
  if (chosen) link.setAttribute("aria-current", "page");
  else link.removeAttribute("aria-current");
}

function state(book) {
  if (book.status === "processing") return "In the making";
  if (book.status === "error") return "Could not be made";
  return `${book.pages ? `${count(book.pages, "page")} · ` : ""}${day(book.created_at)}`;
}
