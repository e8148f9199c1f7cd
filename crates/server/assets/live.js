// Live progress: events say that something may have changed; the changed part of the page is fetched again.

const waiting = new Set();

function fits(part, event) {
  const [kind, id] = part.dataset.live.split(":");
  return kind === "all" || (kind === "registry" && String(event.registry) === id);
}

function changed(event) {
  for (const part of document.querySelectorAll("[data-live]")) if (fits(part, event)) soon(part);
}

function soon(part) {
  if (waiting.has(part)) return;
  waiting.add(part);
  setTimeout(async () => {
    await refill(part);
    waiting.delete(part);
  }, Number(part.dataset.pause ?? 700));
}

async function refill(part) {
  if (!part.dataset.src || !part.isConnected) return;
  const details = part.closest("details");
  if (details && !details.open) {
    part.dataset.stale = "yes";
    return;
  }
  try {
    const response = await fetch(part.dataset.src, { headers: { "x-fragment": "yes" }, redirect: "error" });
    if (!response.ok) return;
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html").body;
    if (part.dataset.keyed) mergeKeyed(part, fresh);
    else replace(part, fresh);
    delete part.dataset.stale;
    part.dispatchEvent(new CustomEvent("pratique:filled", { bubbles: true }));
  } catch {
    // The next event tries again.
  }
}

// Everything is new; what was open stays open.
function replace(part, fresh) {
  const open = new Set([...part.querySelectorAll("details[open][data-key]")].map((d) => d.dataset.key));
  part.replaceChildren(...fresh.childNodes);
  for (const d of part.querySelectorAll("details[data-key]")) if (open.has(d.dataset.key)) d.open = true;
}

// Branches that stay keep what was opened below them; only their lines are new.
function mergeKeyed(part, fresh) {
  const old = new Map([...part.querySelectorAll("details[data-key]")].map((d) => [d.dataset.key, d]));
  for (const branch of fresh.querySelectorAll("details[data-key]")) {
    const known = old.get(branch.dataset.key);
    if (!known) continue;
    known.className = branch.className;
    known.querySelector("summary").replaceWith(branch.querySelector("summary"));
    branch.replaceWith(known);
  }
  part.replaceChildren(...fresh.childNodes);
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

if (document.querySelector("[data-live]") && "EventSource" in window) {
  const source = new EventSource("/live");
  source.onmessage = (message) => {
    try {
      changed(JSON.parse(message.data));
    } catch {
      // Not one of ours.
    }
  };
  source.addEventListener("lagged", () => {
    for (const part of document.querySelectorAll("[data-live]")) soon(part);
  });
  addEventListener("pagehide", () => source.close());
}
