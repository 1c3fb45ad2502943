// The four stages of a book, each a job with its own progress; nothing in here is guessed, all of it was said by a worker.

import { announce, h, write } from "../shared/dom.js";
import { count, duration } from "../shared/words.js";

const STAGES = [
  ["documents.upload", "Check", "Can it be opened, and how long is it?"],
  ["documents.extract", "Read", "The text of every page, and where the chapters begin."],
  ["documents.describe", "Describe", "Languages, key phrases, and how long it takes to read."],
  ["documents.convert", "Typeset", "One clean text to read here."],
];
const WAITING = {
  user_limit: "Waits for your other jobs",
  type_limit: "Waits for others of its kind",
  paused: "Waits: the queue is paused",
  schedule: "Waits for its time",
  retry: "Waits to try again",
  dependency: "Waits for another job",
  worker: "Waits for a worker",
};
const STEPS = { enqueued: "queued", active: "processing", retrying: "queued" };

export class Stages {
  #rows = new Map();
  #jobs = new Map();

  constructor() {
    const rows = STAGES.map(([type, name, about], place) => this.#row(type, name, about, place + 1));
    this.element = h("ol", { class: "stages", "aria-label": "Stages" }, rows);
  }

  /** Show the jobs as the API has just told them. */
  show(jobs, { quiet = false } = {}) {
    for (const job of jobs) {
      const before = this.#jobs.get(job.type);
      this.#jobs.set(job.type, job);
      if (!quiet && before?.status !== job.status) this.#tell(job);
    }
    this.#draw();
  }

  /** Show what the feed has told of one of them; says whether it was one of ours. */
  heard(event) {
    const job = this.#jobs.get(event.type);
    if (!job || job.id !== event.job) return false;
    if (event.name === "progress") {
      if (event.attempt === job.attempt && job.status === "processing") job.progress = event.progress;
    } else {
      job.status = STEPS[event.name] ?? event.name;
      job.attempt = event.attempt;
      if (event.name === "active") Object.assign(job, { started_at: event.at, progress: { percent: 0, note: null } });
      if (event.name === "completed") job.finished_at = event.at;
      if (event.error) job.error = event.error;
      if (event.name === "retrying") job.waiting_for = "retry";
      this.#tell(job);
    }
    this.#draw();
    return true;
  }

  /** Whether all four are done. */
  get done() {
    return STAGES.every(([type]) => this.#jobs.get(type)?.status === "completed");
  }

  #row(type, name, about, number) {
    const title = h("h3", { id: `stage-${number}` }, name);
    const words = h("p", { class: "stage-state" });
    const bar = h("progress", { max: "100", value: "0", "aria-labelledby": `stage-${number}` });
    const element = h(
      "li", { class: "stage", "data-state": "later", "data-type": type },
      h("span", { class: "stage-mark", "aria-hidden": "true" }), title, words, h("p", { class: "hint" }, about), bar,
    );
    this.#rows.set(type, { element, words, bar });
    return element;
  }

  #draw() {
    const ended = [...this.#jobs.values()].some((job) => job.status === "failed" || job.status === "cancelled");
    for (const [type] of STAGES) {
      const { element, words, bar } = this.#rows.get(type);
      const job = this.#jobs.get(type);
      element.dataset.state = job ? job.status : "later";
      write(words, job ? sentence(job) : ended ? "Not begun" : "Comes later");
      const percent = job?.status === "completed" ? 100 : job?.status === "processing" ? Math.floor(job.progress.percent) : 0;
      if (bar.value !== percent) bar.value = percent;
      bar.hidden = job?.status !== "processing";
    }
  }

  #tell(job) {
    const place = STAGES.findIndex(([type]) => type === job.type);
    if (place < 0 || job.status === "queued") return;
    const done = STAGES.filter(([type]) => this.#jobs.get(type)?.status === "completed").length;
    const how = { processing: "has begun", completed: "is done", failed: "has failed", cancelled: "was cancelled" }[job.status];
    announce(`${STAGES[place][1]} ${how}. ${done} of ${STAGES.length} stages done.`);
  }
}

function sentence(job) {
  const again = job.attempt > 1 ? `, attempt ${job.attempt} of ${job.max_attempts}` : "";
  if (job.status === "completed") return `Done${job.started_at ? ` in ${duration(job.started_at, job.finished_at)}` : ""}`;
  if (job.status === "failed") return "Failed";
  if (job.status === "cancelled") return "Cancelled";
  if (job.status === "processing") return `${capital(job.progress.note) || "Begins"}${again}`;
  const ahead = job.position > 1 ? `, ${count(job.position - 1, "job")} before it` : "";
  const failed = job.waiting_for === "retry" && job.error ? `: ${job.error.message}` : "";
  return `${WAITING[job.waiting_for] ?? "Waits"}${ahead}${failed}`;
}

function capital(text) {
  return text ? text[0].toUpperCase() + text.slice(1) : "";
}
