// Renews the page without losing the place. Without this the page is the same, and its links work.
"use strict";

const EVERY = 3000;
const byId = (id, within = document) => within.getElementById(id);
let paused = false;
let renewed = Date.now();

// Puts in what the server sent; focus and open lists outlive it.
function show(page) {
  byId("as-of").textContent = byId("as-of", page).textContent;
  document.title = page.title;
  const focused = document.activeElement.id;
  const open = [...document.querySelectorAll("details[open]")].map((one) => one.id);
  for (const id of ["problem", "summary", "board"]) {
    // A screen reader reads some of these when they change.
    if (byId(id).innerHTML !== byId(id, page).innerHTML) byId(id).innerHTML = byId(id, page).innerHTML;
  }
  for (const id of open) byId(id)?.setAttribute("open", "");
  if (focused) byId(focused)?.focus({ preventScroll: true });
  complete();
}

async function refresh() {
  // Who marks a text to copy it is not disturbed for a minute.
  const copies = !getSelection().isCollapsed && Date.now() - renewed < 60_000;
  if (paused || document.hidden || copies) return;
  try {
    const answer = await fetch(location.href, { cache: "no-store" });
    show(new DOMParser().parseFromString(await answer.text(), "text/html"));
    byId("silence").hidden = true;
    renewed = Date.now();
  } catch {
    byId("silence").hidden = false;
  }
}

// Adds what only a script can: the reader's own time beside UTC, and the button.
function complete() {
  for (const at of document.querySelectorAll("#board time:not([title])")) {
    if (new Date().getTimezoneOffset()) at.append(` (${new Date(at.dateTime).toLocaleTimeString()} here)`);
  }
}

byId("pause").hidden = false;
byId("pause").addEventListener("click", ({ target }) => {
  paused = !paused;
  target.setAttribute("aria-pressed", String(paused));
  refresh();
});
complete();
setInterval(refresh, EVERY);
