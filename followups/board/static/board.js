// Renews the page without losing the place. Without this the page is the same, and its links work.
"use strict";

const EVERY = 3000;
const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
const byId = (id, within = document) => within.getElementById(id);
let ahead = 0; // the server's clock before ours, in milliseconds
let paused = false;

// Puts in what the server sent; focus, open lists and the panel's scrolling outlive it.
function show(page) {
  byId("as-of").dataset.now = byId("as-of", page).dataset.now;
  byId("as-of").textContent = byId("as-of", page).textContent;
  document.title = page.title;
  const focused = document.activeElement.id;
  const open = [...document.querySelectorAll("details[open]")].map((one) => one.id);
  const scrolled = byId("panel")?.scrollTop ?? 0;
  for (const id of ["problem", "summary", "board"]) {
    // A screen reader reads some of these when they change.
    if (byId(id).innerHTML !== byId(id, page).innerHTML) byId(id).innerHTML = byId(id, page).innerHTML;
  }
  for (const id of open) byId(id)?.setAttribute("open", "");
  if (byId("panel")) byId("panel").scrollTop = scrolled;
  if (focused) byId(focused)?.focus({ preventScroll: true });
  complete();
}

async function refresh() {
  try {
    const answer = await fetch(location.href, { cache: "no-store" });
    show(new DOMParser().parseFromString(await answer.text(), "text/html"));
    byId("silence").hidden = true;
  } catch {
    byId("silence").hidden = false;
  }
}

function spanOf(seconds) {
  const parts = [];
  let left = Math.round(seconds);
  for (const [size, unit] of UNITS) {
    if (left >= size) parts.push(`${Math.floor(left / size)} ${unit}`);
    left %= size;
  }
  return parts.slice(0, 2).join(" ") || "0 s";
}

function tick() {
  for (const left of document.querySelectorAll("[data-due]")) {
    const seconds = (Number(left.dataset.due) - Date.now() - ahead) / 1000;
    left.textContent = seconds > 0 ? spanOf(seconds) : "due";
  }
}

// Adds what only a script can: the reader's own time beside UTC, and buttons.
function complete() {
  ahead = Number(byId("as-of").dataset.now) - Date.now();
  for (const at of document.querySelectorAll("#board time:not([title])")) {
    if (new Date().getTimezoneOffset()) at.append(` (${new Date(at.dateTime).toLocaleTimeString()} here)`);
  }
  for (const button of document.querySelectorAll("button[hidden]")) button.hidden = false;
  byId("pause").setAttribute("aria-pressed", String(paused));
  tick();
}

document.addEventListener("click", async ({ target }) => {
  if (target.id === "pause") {
    paused = !paused;
    complete();
    if (!paused) refresh();
  } else if (target.classList.contains("copy")) {
    await navigator.clipboard.writeText(target.previousElementSibling.textContent);
    target.textContent = "Copied";
  }
});

complete();
setInterval(tick, 1000);
// Who marks a text to copy it is not disturbed.
setInterval(() => {
  if (!paused && !document.hidden && getSelection().isCollapsed) refresh();
}, EVERY);
