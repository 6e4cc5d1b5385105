// Keeps the page as it is now: asks for it again, and puts in only what has changed. Without this the page is the same,
// and its links work.
"use strict";

const EVERY = 3000;
const LIVE = ["problem", "summary", "totals", "letters", "late", "failed", "waiting", "panel"];
const served = new Map(); // as the server sent it: countdowns change what is in the page
let ahead = 0; // the server's clock before ours, in milliseconds
let paused = false;
let latest = 0;
let opener = null; // the link that opened the panel: closing it leads back there

function byId(id, within = document) {
  return within.getElementById(id);
}

function keyed(key, within) {
  return [...within.querySelectorAll("[data-key], [id]")].find((one) => (one.dataset.key || one.id) === key);
}

// Where the focus goes when what had it is gone.
function headingOf(part) {
  const heading = part.querySelector("h2");
  if (heading) heading.tabIndex = -1;
  return heading;
}

function setClock(page) {
  ahead = Number(byId("looked", page).dataset.now) - Date.now();
}

function remember() {
  for (const id of LIVE) served.set(id, byId(id)?.innerHTML);
}

// The focus outlives the exchange.
function exchange(part, html) {
  const key = part.contains(document.activeElement) ? document.activeElement.dataset.key || document.activeElement.id : null;
  const open = [...part.querySelectorAll("details[open]")].map((one) => one.dataset.key);
  part.innerHTML = html;
  for (const key of open) keyed(key, part)?.setAttribute("open", "");
  if (key) {
    (keyed(key, part) || headingOf(part))?.focus({ preventScroll: true });
  }
}

function apply(page) {
  if (!byId("panel") !== !byId("panel", page) || !byId("totals") !== !byId("totals", page)) {
    document.body.replaceWith(page.body);
    remember();
    begin();
    return;
  }
  for (const id of LIVE) {
    const html = byId(id, page)?.innerHTML;
    if (html !== undefined && html !== served.get(id)) {
      served.set(id, html);
      exchange(byId(id), html);
    }
  }
  byId("looked").textContent = byId("looked", page).textContent;
}

async function refresh() {
  const mine = (latest += 1);
  let page;
  try {
    const answer = await fetch(location.href, { cache: "no-store" });
    page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!byId("looked", page)) throw new Error("no board");
  } catch {
    byId("silence").hidden = false;
    return;
  }
  if (mine !== latest) return; // another page was asked for meanwhile
  byId("silence").hidden = true;
  document.title = page.title;
  setClock(page);
  apply(page);
  offer();
  tick();
}

// A click leads where the link does, without leaving the place in a long list.
async function go(link) {
  if (link.dataset.key !== "close") opener = link.dataset.key;
  history.pushState(null, "", link.href);
  await refresh();
  const opened = byId("panel-title");
  if (opened) opened.focus({ preventScroll: innerWidth > 1024 });
  else keyed(opener, document)?.focus({ preventScroll: true });
}

function spanOf(seconds) {
  const whole = Math.round(seconds);
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const parts = [];
  let left = whole;
  for (const [size, unit] of units) {
    if (left >= size) parts.push(`${Math.floor(left / size)} ${unit}`);
    left %= size;
  }
  return parts.slice(0, 2).join(" ") || "0 s";
}

function tick() {
  const now = Date.now() + ahead;
  for (const left of document.querySelectorAll("[data-due]")) {
    const seconds = (Number(left.dataset.due) - now) / 1000;
    left.textContent = seconds > 0 ? spanOf(seconds) : "due";
    const bar = left.nextElementSibling;
    if (bar?.max) bar.value = Math.max(bar.max - seconds, 0);
  }
}

// Beside UTC, the reader's own time.
function localize() {
  for (const at of document.querySelectorAll("time:not([data-local])")) {
    at.dataset.local = new Date(at.dateTime).toLocaleTimeString();
    if (new Date().getTimezoneOffset() && !at.title) at.append(` (${at.dataset.local} here)`);
  }
}

function offer() {
  localize();
  for (const button of document.querySelectorAll(".copy[hidden]")) button.hidden = false;
}

async function copy(button) {
  await navigator.clipboard.writeText(button.previousElementSibling.textContent);
  button.textContent = "Copied";
}

function begin() {
  byId("pause").hidden = false;
  byId("pause").setAttribute("aria-pressed", String(paused));
  offer();
  tick();
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-key]");
  if (link && event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey)) {
    event.preventDefault();
    go(link);
  }
  const button = event.target.closest("button");
  if (button?.classList.contains("copy")) copy(button);
  if (button?.id === "pause") {
    paused = !paused;
    begin();
    if (!paused) refresh();
  }
});

addEventListener("popstate", refresh);
setClock(document);
remember();
begin();
setInterval(tick, 1000);
setInterval(() => {
  if (!paused && !document.hidden) refresh();
}, EVERY);
