// A conversation: choosing turns and tabs without leaving the page, and loading of it what is looked at.

import { fetchFragment } from "./fragments.js";
import { onTurn } from "./live.js";
import { onKey } from "./page.js";

const root = document.querySelector(".conversation");
const rail = root.querySelector(".rail");
const panel = document.getElementById("panel");
const status = root.querySelector('[role="status"]');
const tabs = [...root.querySelectorAll('[role="tab"]')];

const entryOf = (turn) => rail.querySelector(`a[data-turn="${CSS.escape(turn)}"]`);
const numbered = (number) => rail.querySelector(`a[data-number="${number}"]`);
const articleOf = (turn) => panel.querySelector(`.turn[data-turn="${CSS.escape(turn)}"]`);

let chosen = panel.dataset.turn;
let tab = root.dataset.tab;
let asked = 0; // the latest request for a panel: what an earlier one brings comes too late

/* ---- what is loaded when it comes into view ---- */

const loading = new WeakMap(); // of an element, the promise of what is being brought for it

/** Bring what an element stands for; who asks while it is under way waits for the same. */
async function load(element) {
  if (!element.dataset.load) return;
  if (!loading.has(element)) loading.set(element, bring(element));
  await loading.get(element);
}

async function bring(element) {
  try {
    const fragment = await fetchFragment(element.dataset.load);
    if (element.matches(".more")) {
      element.replaceWith(fragment);
      mark();
    } else if (element.matches("details")) {
      element.querySelector(":scope > :not(summary)")?.remove();
      element.append(fragment);
      delete element.dataset.load;
    } else {
      insert(element, fragment);
    }
  } catch (error) {
    loading.delete(element);
    failed(element, error);
  }
}

/** Say in the place of something why it is not there. */
function failed(place, error) {
  const message = document.createElement("p");
  message.className = "tag bad";
  message.textContent = `Could not be loaded: ${error.message}`;
  if (place.matches("details")) place.append(message);
  else place.replaceChildren(message);
  status.textContent = message.textContent;
}

/** Put turns in the place of the link to them; what is being read stays where it is. */
function insert(link, fragment) {
  const before = link.matches(".before");
  fragment.querySelector(before ? ".load.behind" : ".load.before")?.remove();
  const height = document.documentElement.scrollHeight;
  const top = window.scrollY;
  const loads = fragment.querySelectorAll(".load");
  link.replaceWith(fragment);
  if (before) window.scrollTo({ top: top + document.documentElement.scrollHeight - height, behavior: "instant" });
  loads.forEach((element) => inView.observe(element));
}

const inView = new IntersectionObserver(
  (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => load(entry.target)),
  { rootMargin: "600px" },
);
const railInView = new IntersectionObserver(
  (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => load(entry.target)),
  { root: rail, rootMargin: "200px" },
);

/** Give entries that are not loaded yet the height that they will have, so that the scroll bar tells the truth. */
function reserve() {
  const height = rail.querySelector("a[data-number]")?.getBoundingClientRect().height || 46;
  for (const more of rail.querySelectorAll(".more")) {
    more.style.height = `${(more.dataset.last - more.dataset.first + 1) * height}px`;
    railInView.observe(more);
  }
}

/* ---- which turn is being read ---- */

// Only what people scroll themselves: a turn that was chosen stays chosen where it cannot be brought to the top.
let scrolls = false;
const SCROLLING_KEYS = new Set(["PageUp", "PageDown", "Home", "End", "ArrowUp", "ArrowDown", " "]);
const itself = () => (scrolls = true);
addEventListener("wheel", itself, { passive: true });
addEventListener("touchmove", itself, { passive: true });
addEventListener("keydown", (event) => SCROLLING_KEYS.has(event.key) && itself());
addEventListener("pointerdown", (event) => event.target === document.documentElement && itself()); // the scroll bar

const READING_LINE = 160; // pixels from the window's top
let looking = false;

addEventListener("scroll", () => {
  if (!scrolls || looking || tab !== "rendered") return;
  looking = true;
  requestAnimationFrame(() => {
    looking = false;
    const turns = [...panel.querySelectorAll(".turn")];
    const read = turns.findLast((one) => one.getBoundingClientRect().top <= READING_LINE) ?? turns[0];
    if (read) choose(read.dataset.turn, { scroll: false, push: false });
  });
}, { passive: true });

function watch() {
  panel.querySelectorAll(".load").forEach((element) => inView.observe(element));
}

/* ---- choosing ---- */

function mark() {
  rail.querySelector("[aria-current]")?.removeAttribute("aria-current");
  const entry = entryOf(chosen);
  if (entry) {
    entry.setAttribute("aria-current", "true");
    entry.scrollIntoView({ block: "nearest", behavior: "instant" });
    rail.querySelector(".jump input").value = entry.dataset.number;
    root.querySelector('[role="tablist"]').setAttribute("aria-label", `What to show of turn ${entry.dataset.number}`);
  }
  panel.querySelector(".turn.chosen")?.classList.remove("chosen");
  articleOf(chosen)?.classList.add("chosen");
  for (const one of tabs) {
    const isChosen = one.dataset.tab === tab;
    one.setAttribute("aria-selected", String(isChosen));
    one.tabIndex = isChosen ? 0 : -1;
    one.href = address(chosen, one.dataset.tab);
  }
}

function address(turn, name) {
  const values = new URLSearchParams({ turn });
  if (name !== "rendered") values.set("tab", name);
  return `${root.dataset.address}?${values}`;
}

async function choose(turn, { name = tab, scroll = true, push = true } = {}) {
  const isOther = turn !== chosen || name !== tab;
  const sameTab = name === tab;
  if (scroll) scrolls = false;
  chosen = turn;
  tab = name;
  if (isOther) history[push ? "pushState" : "replaceState"]({ turn, tab }, "", address(turn, name));
  mark();
  if (name === "rendered" && sameTab && articleOf(turn)) {
    if (scroll) show(turn);
  } else if (isOther) {
    await showPanel(turn, name);
  }
}

async function showPanel(turn, name) {
  const number = ++asked;
  panel.setAttribute("aria-busy", "true");
  try {
    const entry = entryOf(turn);
    const fragment = await fetchFragment(`${panelsOf(turn, entry)}${name}`);
    if (number !== asked) return;
    panel.replaceChildren(fragment);
    panel.className = `panel ${name}`;
    panel.setAttribute("aria-labelledby", `tab-${name}`);
    panel.dataset.turn = turn;
    watch();
    mark();
    if (name === "rendered") show(turn);
    else if (panel.getBoundingClientRect().top < 0) panel.scrollIntoView({ behavior: "instant" });
  } catch (error) {
    if (number === asked) failed(panel, error);
  } finally {
    if (number === asked) panel.removeAttribute("aria-busy");
  }
}

function panelsOf(turn, entry) {
  return entry?.dataset.panels ?? `${root.dataset.address}/turn/${encodeURIComponent(turn)}/`;
}

function show(turn) {
  scrolls = false;
  articleOf(turn)?.scrollIntoView({ block: "start", behavior: "instant" });
}

/** Choose a turn by its number; its part of the rail is loaded first. */
async function chooseNumber(number) {
  const count = Number(root.dataset.count);
  number = Math.min(Math.max(number, 1), count);
  if (!numbered(number)) {
    const more = [...rail.querySelectorAll(".more")].find(
      (one) => Number(one.dataset.first) <= number && number <= Number(one.dataset.last),
    );
    if (more) await load(more);
  }
  const entry = numbered(number);
  if (entry) await choose(entry.dataset.turn);
}

const currentNumber = () => Number(entryOf(chosen)?.dataset.number ?? rail.querySelector(".jump input").value);

/* ---- what is written meanwhile ---- */

const newTurns = root.querySelector(".new-turns");

async function addTurns() {
  const count = Number(root.dataset.count);
  let fragment;
  try {
    fragment = await fetchFragment(`${root.dataset.address}/rail/${count + 1}-${count + 200}?tab=${tab}`);
  } catch {
    return; // a turn was replaced, and none is new
  }
  const entries = fragment.querySelectorAll("a[data-number]");
  const wasLast = currentNumber() === count;
  rail.querySelector("ol").append(fragment);
  const total = Number(entries[entries.length - 1].dataset.number);
  root.dataset.count = total;
  root.querySelector('[data-live="count"]').textContent = `${total} turns`;
  root.querySelector('[data-live="total"]').textContent = total;
  status.textContent = total - count === 1 ? "A new turn" : `${total - count} new turns`;
  const last = panel.querySelector(".turn:last-of-type");
  if (tab === "rendered" && last && !panel.querySelector(".load.behind")) {
    const link = document.createElement("a");
    link.className = "load behind";
    link.dataset.load = `${root.dataset.address}/turns/${count + 1}-${total}`;
    panel.append(link);
    await load(link);
  }
  const isBelow = panel.getBoundingClientRect().bottom > window.innerHeight + 200;
  newTurns.hidden = tab === "rendered" && wasLast && !isBelow;
}

newTurns.addEventListener("click", () => {
  newTurns.hidden = true;
  chooseNumber(Number(root.dataset.count));
});

onTurn((turn) => {
  if (!turn || turn.conversation === root.dataset.conversation) addTurns();
});

/* ---- forgetting ---- */

const forgetting = document.getElementById("forget");
const form = forgetting.querySelector("form");

document.querySelector('[data-opens="forget"]').addEventListener("click", async () => {
  try {
    document.getElementById("forget-facts").replaceChildren(await fetchFragment(form.dataset.address));
  } catch (error) {
    form.querySelector(".outcome").textContent = `It cannot be said what this removes: ${error.message}`;
  }
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const outcome = form.querySelector(".outcome");
  outcome.textContent = "Removing, and looking whether anything is left…";
  try {
    form.replaceWith(await fetchFragment(form.dataset.address, { method: "POST" }));
    forgetting.addEventListener("close", () => location.assign("/"));
  } catch (error) {
    outcome.textContent = `Not forgotten: ${error.message}`;
  }
});

forgetting.addEventListener("click", (event) => event.target.closest("[data-closes]") && forgetting.close());

/* ---- what people do ---- */

document.addEventListener("click", (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  const entry = event.target.closest?.(".rail a[data-turn]");
  const chosenTab = event.target.closest?.('[role="tab"]');
  const more = event.target.closest?.("a.load, .more");
  if (entry) choose(entry.dataset.turn);
  else if (chosenTab) choose(chosen, { name: chosenTab.dataset.tab });
  else if (more) load(more);
  else return;
  event.preventDefault();
});

rail.querySelector(".jump").addEventListener("submit", (event) => {
  event.preventDefault();
  const number = Number.parseInt(event.target.turn.value, 10);
  if (Number.isFinite(number)) chooseNumber(number);
});

document.addEventListener("toggle", (event) => event.target.open && load(event.target), true);

function step(by) {
  const next = tabs[(tabs.findIndex((one) => one.dataset.tab === tab) + by + tabs.length) % tabs.length];
  choose(chosen, { name: next.dataset.tab });
  if (document.activeElement?.matches('[role="tab"]')) next.focus();
}

onKey("j", () => void chooseNumber(currentNumber() + 1));
onKey("k", () => void chooseNumber(currentNumber() - 1));
onKey("ArrowRight", () => step(1));
onKey("ArrowLeft", () => step(-1));
onKey("Escape", () => panel.focus({ preventScroll: true }));

window.addEventListener("popstate", () => {
  const values = new URLSearchParams(location.search);
  const turn = values.get("turn") ?? panel.dataset.turn;
  const name = values.get("tab") ?? "rendered";
  chosen = turn;
  tab = name;
  mark();
  if (name === "rendered" && articleOf(turn)) show(turn);
  else showPanel(turn, name);
});

history.replaceState({ turn: chosen, tab }, "");
history.scrollRestoration = "manual";
reserve();
watch();
mark();
if (tab === "rendered" && new URLSearchParams(location.search).has("turn")) show(chosen);
