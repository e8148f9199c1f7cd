// Live progress: events say that something may have changed; the changed part of the page is fetched again.

const parts = [...document.querySelectorAll("[data-live]")];
const waiting = new Map();

function fits(part, event) {
  const [kind, id] = part.dataset.live.split(":");
  if (event.event === "evaluation" || event.event === "intelligence") return kind === "all";
  return kind === "all" || (kind === "registry" && String(event.registry) === id);
}

function soon(part) {
  if (waiting.has(part)) return;
  const pause = Number(part.dataset.pause ?? 700);
  waiting.set(part, setTimeout(async () => {
    await refill(part);
    waiting.delete(part);
  }, pause));
}

async function refill(part) {
  const source = part.dataset.src;
  if (!source || !part.isConnected) return;
  const details = part.closest("details");
  if (details && !details.open) { part.dataset.stale = "yes"; return; }
  try {
    const response = await fetch(source, { headers: { "x-fragment": "yes" }, redirect: "error" });
    if (!response.ok) return;
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const open = new Set([...part.querySelectorAll("details[open][data-key]")].map((d) => d.dataset.key));
    part.replaceChildren(...page.body.childNodes);
    for (const d of part.querySelectorAll("details[data-key]")) if (open.has(d.dataset.key)) d.open = true;
    delete part.dataset.stale;
    part.dispatchEvent(new CustomEvent("pratique:filled", { bubbles: true }));
  } catch {
    // The next event tries again.
  }
}

// A branch that is opened for the first time fetches its content.
document.addEventListener("toggle", (event) => {
  const details = event.target;
  if (!(details instanceof HTMLDetailsElement) || !details.open) return;
  const part = details.querySelector("[data-src]");
  if (part && (part.dataset.stale || part.dataset.empty)) {
    delete part.dataset.empty;
    refill(part);
  }
}, true);

if (parts.length > 0 && "EventSource" in window) {
  const source = new EventSource("/live");
  source.onmessage = (message) => {
    let event;
    try { event = JSON.parse(message.data); } catch { return; }
    for (const part of parts) if (fits(part, event)) soon(part);
  };
  source.addEventListener("lagged", () => { for (const part of parts) soon(part); });
  addEventListener("pagehide", () => source.close());
}
