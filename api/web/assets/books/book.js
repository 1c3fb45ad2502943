// The open book: its stages while it is made, its text when it is ready, and why not when it cannot be.

import { API, call } from "../shared/api.js";
import { announce, fill, h } from "../shared/dom.js";
import { count, day } from "../shared/words.js";
import { Reader } from "./reader.js";
import { Stages } from "./stages.js";

const REFRESH_AFTER = 100;

export class BookView {
  #id = "";
  #shown = "";
  #book = null;
  #stages = null;
  #reader = null;
  #asking = null;
  #timer = 0;

  /** `changed` is told the book whenever it was looked at, `deleted` its id when it is gone. */
  constructor({ changed, deleted }) {
    this.changed = changed;
    this.deleted = deleted;
    this.element = h("section", { class: "open-book", "aria-label": "The open book" });
  }

  /** Open a book; none for an empty id. */
  show(id) {
    if (id === this.#id && this.element.childElementCount) {
      this.#reader?.follow();
      return;
    }
    this.close();
    this.#id = id;
    if (!id) {
      document.title = "Books · Greenroom";
      fill(this.element, h("p", { class: "nothing-open" }, "Choose a book to read, or drop a PDF to make one."));
      return;
    }
    this.element.setAttribute("aria-busy", "true");
    fill(this.element, h("p", { class: "loading" }, "Opening …"));
    this.#look();
  }

  /** Look at the book anew. */
  refresh() {
    if (this.#id && this.#book?.status !== "ready") this.#look();
  }

  /** Take in what the feed tells. */
  heard(event) {
    if (!this.#id || this.#book?.status !== "processing") return;
    const ours = this.#stages?.heard(event);
    // A new job that we do not know may be this book's next stage.
    if (event.name === "enqueued" || (ours && event.name !== "progress")) this.#lookSoon();
  }

  close() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#asking?.abort();
    this.#reader?.close();
    this.#book = this.#stages = this.#reader = null;
    this.#shown = "";
    this.#id = "";
    fill(this.element);
  }

  #lookSoon() {
    this.#timer ||= setTimeout(() => {
      this.#timer = 0;
      this.#look();
    }, REFRESH_AFTER);
  }

  async #look() {
    this.#asking?.abort();
    const { signal } = (this.#asking = new AbortController());
    const path = `${API}/books/${encodeURIComponent(this.#id)}`;
    try {
      const book = await call("GET", path, { signal });
      const jobs = await call("GET", `${path}/jobs`, { signal });
      this.element.removeAttribute("aria-busy");
      this.#draw(book, jobs.items);
      this.changed(book);
    } catch (problem) {
      if (problem.name === "AbortError" || problem.status === 401) return;
      this.element.removeAttribute("aria-busy");
      if (!this.#book || problem.status === 404) this.#fail(problem);
    }
  }

  #draw(book, jobs) {
    const wasMade = this.#book?.status === "processing" && book.status !== "processing";
    this.#book = book;
    document.title = `${book.title} · Greenroom`;
    const first = this.#stages === null;
    this.#stages ??= new Stages();
    this.#stages.show(jobs, { quiet: first });
    const face = `${book.status} ${book.title} ${book.pages}`;
    if (face === this.#shown) return;
    this.#shown = face;
    const body = { ready: () => this.#ready(book), error: () => this.#broken(book, jobs), processing: () => this.#stages.element };
    fill(this.element, h("a", { class: "back", href: "/books" }, "All books"), this.#head(book), body[book.status]());
    if (wasMade) announce(book.status === "ready" ? `${book.title} is ready to read.` : `${book.title} could not be made.`);
  }

  #head(book) {
    const { author, language, reading_minutes: minutes } = book.metadata;
    const facts = [
      author && h("span", { dir: "auto" }, author),
      book.pages && count(book.pages, "page"),
      minutes && `${count(minutes, "minute")} to read`,
      language && languageName(language),
      `added ${day(book.created_at)}`,
    ].filter(Boolean);
    return h(
      "header", { class: "book-head" },
      h("h2", { class: "title", dir: "auto" }, book.title),
      h("p", { class: "facts" }, facts.map((fact) => h("span", { class: "fact" }, fact))),
      h(
        "p", { class: "book-actions" },
        book.status === "ready" && h("a", { href: `${API}/books/${book.id}/html`, download: "" }, "Save as HTML"),
        h("button", { type: "button", class: "quiet", onclick: () => this.#ask(book) }, "Delete"),
      ),
    );
  }

  #ready(book) {
    this.#reader = new Reader(book);
    const phrases = (book.metadata.key_phrases ?? []).slice(0, 8);
    return [
      this.#reader.element,
      h(
        "details", { class: "making" }, h("summary", {}, "How it was made"), this.#stages.element,
        phrases.length > 0 && [h("h3", {}, "Key phrases"), h("p", { class: "phrases", dir: "auto" }, phrases.join(" · "))],
      ),
    ];
  }

  #broken(book, jobs) {
    const cancelled = jobs.some((job) => job.status === "cancelled");
    const why = book.error?.message ?? (cancelled ? "One of its jobs was cancelled." : "One of its jobs has failed.");
    return [h("p", { class: "error", role: "alert" }, why), this.#stages.element];
  }

  #fail(problem) {
    const gone = problem.status === 404;
    fill(
      this.element,
      h("a", { class: "back", href: "/books" }, "All books"),
      h("h2", { class: "title" }, gone ? "There is no such book" : "The book cannot be shown"),
      h("p", { class: "error", role: "alert" }, gone ? "It may have been deleted, or belong to somebody else." : problem.message),
      gone ? null : h("button", { type: "button", onclick: () => this.#look() }, "Try again"),
    );
  }

  #ask(book) {
    const error = h("p", { class: "error", role: "alert" });
    const yes = h("button", { type: "button", class: "danger" }, "Delete");
    const no = h("button", { type: "button", autofocus: true, onclick: () => dialog.close() }, "Keep it");
    const dialog = h(
      "dialog", { "aria-labelledby": "delete-title", onclose: () => dialog.remove() },
      h("h2", { id: "delete-title" }, "Delete this book?"),
      h("p", {}, h("b", { dir: "auto" }, book.title), " goes with its PDF, its text and its jobs, for good."),
      error,
      h("p", { class: "dialog-actions" }, no, yes),
    );
    yes.addEventListener("click", async () => {
      yes.disabled = true;
      try {
        await call("DELETE", `${API}/books/${book.id}`);
        dialog.close();
        announce(`${book.title} is deleted.`);
        this.deleted(book.id);
      } catch (problem) {
        error.textContent = problem.message;
        yes.disabled = false;
      }
    });
    document.body.append(dialog);
    dialog.showModal();
  }
}

function languageName(code) {
  try {
    return new Intl.DisplayNames(["en"], { type: "language" }).of(code);
  } catch {
    return code;
  }
}
