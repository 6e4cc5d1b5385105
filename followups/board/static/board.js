// Renews the page without losing the place. Without this the page is the same, and its links work.
"use strict";

const EVERY = 3000;
const byId = (id, within = document) => within.getElementById(id);
let ahead = 0; // the server's clock before ours, in milliseconds
let paused = false;
let latest = 0;
let opener = null; // the key of the link that opened the panel: closing it leads back there

function keyed(key) {
  return [...document.querySelectorAll("[data-key]")].find((one) => one.dataset.key === key);
}

// Puts in what the server sent; focus, open lists and the panel's scrolling outlive it.
function show(page) {
  document.title = page.title;
  ahead = Number(byId("as-of", page).dataset.now) - Date.now();
  byId("as-of").textContent = byId("as-of", page).textContent;
  for (const id of ["problem", "summary"]) {
    // A screen reader reads these when they change.
    if (byId(id).innerHTML !== byId(id, page).innerHTML) byId(id).innerHTML = byId(id, page).innerHTML;
  }
  const board = byId("board");
  const focused = board.contains(document.activeElement) && document.activeElement;
  const open = [...board.querySelectorAll("details[open]")].map((one) => one.dataset.key);
  const scrolled = byId("panel")?.scrollTop ?? 0;
  board.innerHTML = byId("board", page).innerHTML;
  for (const key of open) keyed(key)?.setAttribute("open", "");
  if (byId("panel")) byId("panel").scrollTop = scrolled;
  if (focused) (keyed(focused.dataset.key) ?? byId(focused.id) ?? board.querySelector("h2"))?.focus({ preventScroll: true });
  complete();
}

async function refresh() {
  const mine = (latest += 1);
  try {
    const answer = await fetch(location.href, { cache: "no-store" });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    byId("silence").hidden = Boolean(byId("as-of", page));
    if (byId("as-of", page) && mine === latest) show(page); // else another page was asked for meanwhile
  } catch {
    byId("silence").hidden = false;
  }
}

// A click leads where the link does, without leaving the place in a long list.
async function go(link) {
  if (link.dataset.key !== "close") opener = link.dataset.key;
  history.pushState(null, "", link.href);
  await refresh();
  const opened = byId("panel-title");
  (opened ?? keyed(opener))?.focus({ preventScroll: !opened || innerWidth > 1024 });
}

function spanOf(seconds) {
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const parts = [];
  let left = Math.round(seconds);
  for (const [size, unit] of units) {
    if (left >= size) parts.push(`${Math.floor(left / size)} ${unit}`);
    left %= size;
  }
  return parts.slice(0, 2).join(" ") || "0 s";
}

function tick() {
  for (const left of document.querySelectorAll("[data-due]")) {
    const seconds = (Number(left.dataset.due) - Date.now() - ahead) / 1000;
    left.textContent = seconds > 0 ? spanOf(seconds) : "due";
    const bar = left.nextElementSibling;
    if (bar?.max) bar.value = Math.max(bar.max - seconds, 0);
  }
}

// Adds what only a script can: the reader's own time beside UTC, and buttons.
function complete() {
  for (const at of document.querySelectorAll("#board time:not([title])")) {
    if (new Date().getTimezoneOffset()) at.append(` (${new Date(at.dateTime).toLocaleTimeString()} here)`);
  }
  for (const button of document.querySelectorAll("button[hidden]")) button.hidden = false;
  byId("pause").setAttribute("aria-pressed", String(paused));
  tick();
}

document.addEventListener("click", async (event) => {
  const link = event.target.closest("a[data-key]");
  const button = event.target.closest("button");
  if (link && event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey)) {
    event.preventDefault();
    go(link);
  } else if (button?.classList.contains("copy")) {
    await navigator.clipboard.writeText(button.previousElementSibling.textContent);
    button.textContent = "Copied";
  } else if (button?.id === "pause") {
    paused = !paused;
    complete();
    if (!paused) refresh();
  }
});

addEventListener("popstate", refresh);
ahead = Number(byId("as-of").dataset.now) - Date.now();
complete();
setInterval(tick, 1000);
// Who marks a text to copy it is not disturbed.
setInterval(() => {
  if (!paused && !document.hidden && getSelection().isCollapsed) refresh();
}, EVERY);
