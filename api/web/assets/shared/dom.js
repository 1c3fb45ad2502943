// Elements, built by hand. Text goes in as text and never as markup: what it says may have come out of a stranger's PDF.

/** Build an element; `on…` are listeners, the rest are attributes, and what is null or false is left out. */
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...present(children));
  return element;
}

/** Put children in place of those that an element has. */
export function fill(element, ...children) {
  element.replaceChildren(...present(children));
  return element;
}

/** Write a text where it is not written already, so that nobody is told twice and no selection is lost. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Tell people who cannot see the page; the same words again are told again. */
export function announce(text) {
  const polite = document.getElementById("polite");
  polite.textContent = "";
  requestAnimationFrame(() => {
    polite.textContent = text;
  });
}

function present(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}
