// The address says what is shown: links change it without a new page, and the browser's buttons lead back.

const moved = new EventTarget();

/** Call this whenever the address has changed. */
export function onMove(listener) {
  moved.addEventListener("move", listener);
}

/** Go to an address of this page. */
export function go(path, { replace = false } = {}) {
  if (replace) history.replaceState(null, "", path);
  else history.pushState(null, "", path);
  moved.dispatchEvent(new Event("move"));
}

/** Take links below a path into this page, unless somebody wants them elsewhere. */
export function takeLinks(below) {
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href]");
    if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const url = new URL(link.href);
    const inside = url.pathname === below || url.pathname.startsWith(`${below}/`);
    if (url.origin !== location.origin || !inside || link.hasAttribute("download") || link.target || url.hash) return;
    event.preventDefault();
    if (url.pathname !== location.pathname || location.hash) go(url.pathname);
  });
  window.addEventListener("popstate", () => moved.dispatchEvent(new Event("move")));
}
