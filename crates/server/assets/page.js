// Small comforts: copy buttons for digests, filters that apply themselves, a question before something is removed.

for (const element of document.querySelectorAll("[data-copy]")) addCopy(element);
document.addEventListener("pratique:filled", (event) => {
  for (const element of event.target.querySelectorAll("[data-copy]")) addCopy(element);
});

function addCopy(element) {
  if (!navigator.clipboard || element.nextElementSibling?.classList.contains("copy")) return;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "⧉";
  button.title = "Copy";
  button.setAttribute("aria-label", `Copy ${element.dataset.copy}`);
  button.addEventListener("click", async (event) => {
    event.preventDefault();
    try {
      await navigator.clipboard.writeText(element.dataset.copy);
      button.textContent = "✓";
    } catch {
      button.textContent = "✗";
    }
    setTimeout(() => { button.textContent = "⧉"; }, 1200);
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
