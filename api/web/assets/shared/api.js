// The API as the pages call it: the session's cookie goes along by itself, and every write shows the session's token.

export const API = "/api/v1";
const LOST = "Greenroom cannot be reached at the moment.";

/** An error as the API tells it: `detail` is its own sentence, `code` its stable name; status 0 is no answer at all. */
export class Problem extends Error {
  constructor(status, body) {
    super(body?.detail ?? (status ? `The answer was ${status}.` : LOST));
    this.status = status;
    this.code = body?.code ?? "";
    this.limit = body?.limit;
    this.retryAfter = body?.retry_after;
  }
}

let csrf = "";
let refused = () => {};

/** Write with this token from now on. */
export function useCsrf(token) {
  csrf = token;
}

/** Call this when the API no longer knows who we are. */
export function onRefused(listener) {
  refused = listener;
}

/** Make a request; gives the JSON that is answered, or null. Throws a Problem. */
export async function call(method, path, { body, signal } = {}) {
  const headers = { Accept: "application/json" };
  if (method !== "GET") headers["X-CSRF-Token"] = csrf;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, {
      method, headers, signal, credentials: "same-origin", redirect: "error",
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, null);
  }
  const said = await answer.text();
  if (!answer.ok) throw problem(answer.status, said);
  return said ? JSON.parse(said) : null;
}

/** Send a file as the form that `POST /books` takes. `progress` is told the bytes that have gone out. */
export function upload(file, progress) {
  const form = new FormData();
  form.append("file", file, file.name);
  const request = new XMLHttpRequest();
  const made = new Promise((resolve, reject) => {
    request.open("POST", `${API}/books`);
    request.setRequestHeader("X-CSRF-Token", csrf);
    request.setRequestHeader("Accept", "application/json");
    request.upload.addEventListener("progress", (event) => progress(event.loaded, event.total));
    request.addEventListener("load", () => {
      if (request.status === 201) resolve(JSON.parse(request.responseText));
      else reject(problem(request.status, request.responseText));
    });
    request.addEventListener("error", () => reject(new Problem(0, null)));
    request.addEventListener("abort", () => reject(new DOMException("cancelled", "AbortError")));
    request.send(form);
  });
  return { made, cancel: () => request.abort() };
}

/** Read HTML as a document that is not shown, runs nothing and loads nothing. Throws a Problem. */
export function readDocument(path) {
  const request = new XMLHttpRequest();
  return new Promise((resolve, reject) => {
    request.open("GET", path);
    request.responseType = "document";
    request.addEventListener("load", () => {
      if (request.status === 200 && request.response) resolve(request.response);
      else reject(problem(request.status, ""));
    });
    request.addEventListener("error", () => reject(new Problem(0, null)));
    request.send();
  });
}

function problem(status, said) {
  let body = null;
  try {
    body = JSON.parse(said);
  } catch {
    // A proxy may answer in its own words; they are not for people.
  }
  if (status === 401) refused();
  return new Problem(status, body);
}
