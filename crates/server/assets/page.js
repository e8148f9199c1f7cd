// Small comforts: copy buttons for digests, filters that apply themselves, a question before something is removed.

const SHAPES = {
  copy: "M5 5V2h9v9h-3M2 5h9v9H2z",
  done: "M2.5 8.5l3.5 4 7.5-9",
  wrong: "M3 3l10 10M13 3L3 13",
};

function draw(button, shape) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", SHAPES[shape]);
  svg.append(path);
  button.replaceChildren(svg);
  button.classList.toggle("done", shape === "done");
}

function addCopy(element) {
  if (!navigator.clipboard || element.nextElementSibling?.classList.contains("copy")) return;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.title = "Copy";
  button.setAttribute("aria-label", `Copy ${element.dataset.copy}`);
  draw(button, "copy");
  button.addEventListener("click", async (event) => {
    event.preventDefault();
    try {
      await navigator.clipboard.writeText(element.dataset.copy);
      draw(button, "done");
    } catch {
      draw(button, "wrong");
    }
    setTimeout(() => draw(button, "copy"), 1200);
  });
  element.after(button);
}

for (const form of document.querySelectorAll("form[data-auto]")) {
  form.addEventListener("change", () => form.requestSubmit());
  for (const button of form.querySelectorAll("[data-without-script]")) button.hidden = true;
}

for (const form of document.querySelectorAll("form[data-ask]")) {
  form.addEventListener("submit", (event) => {
    if (!confirm(form.dataset.ask)) event.preventDefault();
  });
}

for (const element of document.querySelectorAll("[data-copy]")) addCopy(element);
document.addEventListener("pratique:filled", (event) => {
  for (const element of event.target.querySelectorAll("[data-copy]")) addCopy(element);
});
