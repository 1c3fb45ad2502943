// Runs before everything else, for nothing else can say that it has not arrived: of a page whose scripts come in parts, one
// part that is lost on the way stops all, and without this the page would say for ever that it is opening.

addEventListener(
  "error",
  (event) => {
    if (!(event.target instanceof HTMLScriptElement)) return;
    const main = document.getElementById("main");
    const sentence = document.createElement("p");
    sentence.className = "error";
    sentence.setAttribute("role", "alert");
    sentence.textContent = "This page has not arrived whole.";
    const again = document.createElement("button");
    again.type = "button";
    again.textContent = "Load it again";
    again.addEventListener("click", () => location.reload());
    const line = document.createElement("p");
    line.append(again);
    main.replaceChildren(sentence, line);
  },
  true, // what fails to load tells only its own element, and does not bubble
);
