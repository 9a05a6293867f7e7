// What all pages share: the keys, and buttons that open dialogs. Pages add keys of their own with `onKey`.

const handlers = new Map();

/** Call a function when a key is pressed outside of fields; it returns false where it has done nothing. */
export function onKey(key, handler) {
  handlers.set(key, handler);
}

const isField = (element) => element?.matches?.("input, textarea, select, [contenteditable]");

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (isField(event.target)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (document.querySelector("dialog[open]")) return; // the browser closes it on Escape
  const handler = handlers.get(event.key);
  if (handler && handler(event) !== false) event.preventDefault();
});

document.addEventListener("click", (event) => {
  const opener = event.target.closest?.("[data-opens]");
  if (opener) document.getElementById(opener.dataset.opens).showModal();
});

onKey("/", () => {
  const field = document.querySelector(".search input");
  field.focus();
  field.select();
});
onKey("?", () => document.getElementById("help").showModal());
