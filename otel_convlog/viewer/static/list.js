// The list: search as you type, rows by the keyboard, and conversations that move to the top as they go on.

import { fetchFragment } from "./fragments.js";
import { onTurn } from "./live.js";
import { onKey } from "./page.js";

const list = document.getElementById("list");
const results = document.getElementById("results");
const field = document.querySelector(".search input");
const status = document.querySelector('main [role="status"]');

/* ---- search ---- */

const TYPING_MS = 150;
const AGAIN_MS = 2000;
let typing;
let request;

async function search() {
  const wanted = field.value.trim();
  request?.abort();
  clearTimeout(typing);
  const address = new URL(location.href);
  if (wanted) address.searchParams.set("q", wanted);
  else address.searchParams.delete("q");
  history.replaceState(null, "", address);
  list.hidden = Boolean(wanted);
  if (!wanted) return results.replaceChildren();
  request = new AbortController();
  try {
    const found = await fetchFragment(`/search?${new URLSearchParams({ q: wanted })}`, { signal: request.signal });
    results.replaceChildren(found);
    again();
  } catch (error) {
    if (error.name !== "AbortError") status.textContent = `The search failed: ${error.message}`;
  }
}

/** Look again while the server still reads texts. */
function again() {
  if (results.querySelector("[data-again]")) typing = setTimeout(search, AGAIN_MS);
}

field.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(search, TYPING_MS);
});
field.form.addEventListener("submit", (event) => {
  event.preventDefault();
  search();
});
again();

/* ---- the keyboard ---- */

function step(by) {
  const rows = [...document.querySelectorAll("main .asked")].filter((row) => row.checkVisibility());
  const at = rows.indexOf(document.activeElement);
  rows[at < 0 ? 0 : Math.min(Math.max(at + by, 0), rows.length - 1)]?.focus();
}

onKey("j", () => step(1));
onKey("k", () => step(-1));
onKey("Escape", () => {
  if (!field.value) return false;
  field.value = "";
  search();
});

/* ---- what is written meanwhile ---- */

const rowOf = (id) => list.querySelector(`.conversation-row[data-id="${CSS.escape(id)}"]`);
const waiting = new Map(); // the addresses of rows, by the conversations' ids
let updating = false;

async function update() {
  if (updating) return;
  updating = true;
  try {
    while (waiting.size) {
      const [[id, address]] = waiting;
      waiting.delete(id);
      await refresh(id, address);
    }
  } catch (error) {
    status.textContent = `The list could not be brought up to date: ${error.message}`;
  } finally {
    updating = false;
  }
}

async function refresh(id, address) {
  const old = rowOf(id);
  const isTop = list.dataset.firstPage === "yes";
  if (!old && !isTop) return;
  const fragment = await fetchFragment(`${address}${location.search}`);
  const row = fragment.querySelector(".conversation-row");
  if (!row) return; // the filters do not let it through
  const focused = old?.contains(document.activeElement);
  if (isTop) {
    old?.remove();
    dayOf(row.dataset.day).querySelector("ol").prepend(row);
    list.querySelector(".empty")?.remove();
    for (const day of list.querySelectorAll(".day")) if (!day.querySelector("li")) day.remove();
  } else {
    old.replaceWith(row);
  }
  if (focused) row.querySelector("a").focus({ preventScroll: true });
  status.textContent = `A turn was added to ${row.querySelector("a").textContent}`;
}

function dayOf(day) {
  const known = list.querySelector(`.day[data-day="${CSS.escape(day)}"]`);
  if (known) return known;
  const made = document.createElement("section");
  made.className = "day";
  made.dataset.day = day;
  const title = document.createElement("h2");
  title.textContent = day;
  made.append(title, document.createElement("ol"));
  const first = list.querySelector(".day");
  if (first) first.before(made);
  else list.querySelector(".paging").before(made);
  return made;
}

onTurn((turn) => {
  if (!turn) return location.reload();
  waiting.set(turn.conversation, turn.row);
  update();
});
