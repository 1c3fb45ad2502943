// The page of one's books: signs in, then shows the shelf, and beside it the book that the address names.

import { fill, h } from "../shared/dom.js";
import { Feed } from "../shared/feed.js";
import { drawFrame } from "../shared/frame.js";
import { go, onMove, takeLinks } from "../shared/router.js";
import { session } from "../shared/session.js";
import { showSignIn } from "../shared/sign-in.js";
import { BookView } from "./book.js";
import { Drop } from "./drop.js";
import { Shelf } from "./shelf.js";

const HOME = "/books";
const main = document.getElementById("main");
const feed = new Feed();
let library = null;

class Library {
  constructor() {
    this.shelf = new Shelf();
    this.book = new BookView({ changed: (book) => this.shelf.put(book), deleted: (id) => this.#deleted(id) });
    const drop = new Drop(session.is.upload_bytes, (book, isFirst) => this.#made(book, isFirst));
    const side = h("div", { class: "shelf" }, drop.element, this.shelf.element);
    this.element = h("div", { class: "library" }, side, this.book.element);
    this.shelf.load();
    this.show();
  }

  show() {
    const id = location.pathname.startsWith(`${HOME}/`) ? decodeURIComponent(location.pathname.slice(HOME.length + 1)) : "";
    this.element.classList.toggle("has-open-book", id !== "");
    this.shelf.choose(id);
    this.book.show(id);
  }

  /** Look at everything anew: something may have been missed. */
  refresh() {
    this.shelf.load();
    this.book.refresh();
  }

  focus() {
    this.shelf.element.querySelector("h2").focus();
  }

  heard(event) {
    if (!event.type.startsWith("documents.")) return;
    this.book.heard(event);
    if (event.name !== "progress") this.shelf.refreshSoon();
  }

  close() {
    this.shelf.close();
    this.book.close();
  }

  #made(book, isFirst) {
    this.shelf.put(book);
    if (isFirst) go(`${HOME}/${book.id}`);
  }

  #deleted(id) {
    this.shelf.remove(id);
    go(HOME, { replace: true });
    this.focus();
  }
}

feed.addEventListener("open", () => library?.refresh());
feed.addEventListener("job", (event) => library?.heard(event.detail));
onMove(() => library?.show());
takeLinks(HOME);

let wasForm = false;
session.addEventListener("change", ({ detail }) => {
  library?.close();
  library = null;
  feed.close();
  if (session.is) {
    library = new Library();
    fill(main, library.element);
    feed.open();
    // The form that had the focus is gone.
    if (wasForm) library.focus();
  } else {
    wasForm = true;
    document.title = "Books · Greenroom";
    showSignIn(main, detail.why);
  }
});

drawFrame(document.getElementById("frame"), { feed, home: HOME, page: "Books" });

async function begin() {
  try {
    await session.load();
  } catch (problem) {
    fill(
      main,
      h("p", { class: "error", role: "alert" }, problem.message),
      h("p", {}, h("button", { type: "button", onclick: begin }, "Try again")),
    );
  }
}

begin();
