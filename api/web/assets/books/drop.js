// The place where PDFs are dropped: what is under way, and what was refused, in the API's own words.

import { upload } from "../shared/api.js";
import { announce, h, write } from "../shared/dom.js";
import { size } from "../shared/words.js";

export class Drop {
  #queue = [];
  #busy = false;
  #list = h("ul", { class: "uploads", "aria-label": "Uploads" });
  #depth = 0;

  /** `most` is the largest file in bytes; `made` is told each book that has come of it, and whether it is the first of its lot. */
  constructor(most, made) {
    this.most = most;
    this.made = made;
    const input = h("input", {
      type: "file", id: "pdf", accept: "application/pdf,.pdf", multiple: true, "aria-describedby": "pdf-hint",
      onchange: () => {
        this.#add(input.files);
        input.value = "";
      },
    });
    this.zone = h(
      "div", { class: "drop-zone" },
      input,
      h("label", { for: "pdf" }, h("b", {}, "Choose a PDF"), h("span", { class: "by-hand" }, " or drop it here")),
      h("p", { id: "pdf-hint", class: "hint" }, `Up to ${size(most)}. You can watch it become a book.`),
    );
    this.element = h("section", { class: "drop", "aria-label": "Add a book" }, this.zone, this.#list);
    // Anywhere on the page will do: a file that misses would make the browser leave it.
    const signal = (this.gone = new AbortController()).signal;
    for (const [name, does] of Object.entries({
      dragenter: (event) => this.#over(event, 1),
      dragleave: (event) => this.#over(event, -1),
      dragover: (event) => holdsFiles(event) && event.preventDefault(),
      drop: (event) => this.#dropped(event),
    })) {
      window.addEventListener(name, (event) => (this.element.isConnected ? does(event) : this.gone.abort()), { signal });
    }
  }

  #over(event, step) {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    this.#depth = Math.max(0, this.#depth + step);
    this.zone.classList.toggle("is-over", this.#depth > 0);
  }

  #dropped(event) {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    this.#depth = 0;
    this.zone.classList.remove("is-over");
    this.#add(event.dataTransfer.files);
  }

  #add(files) {
    for (const file of files) this.#queue.push(new Sending(file, this.#list));
    this.#next();
  }

  // One after the other: they share the line, and a limit that the first one meets is told once for each.
  async #next() {
    if (this.#busy) return;
    this.#busy = true;
    let isFirst = true;
    for (let sending = this.#queue.shift(); sending; sending = this.#queue.shift()) {
      const book = await sending.run(this.most);
      if (book && this.element.isConnected) {
        this.made(book, isFirst);
        isFirst = false;
      }
    }
    this.#busy = false;
  }
}

class Sending {
  #cancelled = false;
  #request = null;

  constructor(file, list) {
    this.file = file;
    this.bar = h("progress", { max: "100", value: "0", "aria-label": `Upload of ${file.name}` });
    this.words = h("p", { class: "upload-state" }, "Waits its turn");
    this.button = h("button", { type: "button", class: "quiet small", onclick: () => this.#leave() }, "Cancel");
    this.element = h(
      "li", { class: "upload" }, h("p", { class: "upload-name", dir: "auto" }, file.name), this.button, this.bar, this.words,
    );
    list.append(this.element);
  }

  async run(most) {
    if (this.#cancelled) return null;
    try {
      this.#request = upload(this.file, (sent, all) => this.#show(sent, all));
      const { book } = await this.#request.made;
      announce(`${this.file.name} is uploaded.`);
      this.element.remove();
      return book;
    } catch (problem) {
      if (problem.name === "AbortError") this.element.remove();
      else this.#fail(problem, most);
      return null;
    }
  }

  #show(sent, all) {
    const percent = all ? Math.floor((100 * sent) / all) : 0;
    this.bar.value = percent;
    write(this.words, percent < 100 ? `${size(sent)} of ${size(all)}` : "Is being stored …");
  }

  #fail(problem, most) {
    let sentence = problem.message;
    // A proxy that cuts a large upload off leaves no answer; then this is the likeliest reason.
    if (!problem.status && this.file.size > most) sentence = `The file is larger than ${size(most)}.`;
    if (problem.retryAfter) sentence += ` Try again in ${problem.retryAfter} seconds.`;
    this.element.classList.add("has-failed");
    this.bar.remove();
    this.words.setAttribute("role", "alert");
    this.words.textContent = sentence;
    this.button.textContent = "Dismiss";
    this.button.setAttribute("aria-label", `Dismiss the error about ${this.file.name}`);
  }

  #leave() {
    this.#cancelled = true;
    this.#request?.cancel();
    this.element.remove();
    document.getElementById("pdf")?.focus();
  }
}

function holdsFiles(event) {
  return event.dataTransfer?.types.includes("Files");
}
