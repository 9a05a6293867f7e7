// The tabs Wire, Events, Diff and Raw. The panels are swapped in, so all of it hangs on the document.

import { fetchFragment } from "./fragments.js";

const say = (text) => (document.querySelector('.conversation [role="status"]').textContent = text);

/* ---- copying ---- */

async function copy(button, text) {
  const words = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
    button.classList.add("copied");
    say("Copied");
  } catch {
    button.textContent = "The browser does not allow it";
  }
  setTimeout(() => {
    button.textContent = words;
    button.classList.remove("copied");
  }, 1500);
}

async function textOf(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
  return answer.text();
}

/* ---- events ---- */

async function openEvent(side, number) {
  const place = document.querySelector(".chosen-event");
  const values = new URLSearchParams({ side, number });
  const fragment = await fetchFragment(`${place.dataset.load}?${values}`);
  const title = document.createElement("h4");
  title.textContent = `${side} event ${number}`;
  place.replaceChildren(title, fragment);
  document.querySelector(".events .opened")?.classList.remove("opened");
  document.querySelector(`.events tr[data-side="${side}"][data-number="${number}"]`)?.classList.add("opened");
  place.scrollIntoView({ block: "nearest" });
}

/* ---- the tree ---- */

/** Where a node's JSON is: beside where its children are. */
const valueAddress = (pointer) => {
  const address = new URL(document.querySelector(".raw-bar a[download]").href);
  address.searchParams.set("at", pointer);
  return address;
};

async function replace(link, address) {
  const fragment = await fetchFragment(address);
  (link.closest("tr") ?? link).replaceWith(fragment);
}

async function showPanel(form) {
  const values = new URLSearchParams(new FormData(form));
  const address = `${form.getAttribute("action")}?${values}`;
  const panel = document.getElementById("panel");
  const turn = document.querySelector(`.rail a[data-turn="${CSS.escape(values.get("turn"))}"]`);
  if (!turn) return location.assign(address);
  const tab = values.get("tab");
  history.pushState({ turn: values.get("turn"), tab }, "", address);
  panel.replaceChildren(await fetchFragment(`${turn.dataset.panels}${tab}?${values}`));
}

const actions = [
  ["[data-copy]", async (button) => copy(button, await textOf(button.href))],
  ["[data-copy-pointer]", (button) => copy(button, button.dataset.copyPointer)],
  ["[data-copy-value]", async (button) => copy(button, await textOf(valueAddress(button.dataset.copyValue)))],
  [".tick, .events button", (element) => openEvent(element.dataset.side, element.dataset.number)],
  ["[data-rows]", (link) => replace(link, link.dataset.rows)],
  ["[data-nodes]", (link) => replace(link, link.dataset.nodes)],
];

document.addEventListener("click", (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  for (const [selector, action] of actions) {
    const element = event.target.closest?.(selector);
    if (!element) continue;
    event.preventDefault();
    event.stopImmediatePropagation();
    Promise.resolve(action(element)).catch((error) => say(`Could not be loaded: ${error.message}`));
    return;
  }
}, true);

document.addEventListener("submit", (event) => {
  if (!event.target.matches(".find, .against")) return;
  event.preventDefault();
  showPanel(event.target).catch((error) => say(`Could not be loaded: ${error.message}`));
});

document.addEventListener("change", (event) => {
  if (event.target.matches(".against select")) event.target.form.requestSubmit();
});
