// Turns as they are written: one connection for the whole page.

const handlers = [];
let source;

/** Call a function with `{conversation, row}` for each turn that is written from now on, and with null to look anew. */
export function onTurn(handler) {
  handlers.push(handler);
  if (source) return;
  source = new EventSource("/live");
  source.addEventListener("turn", (event) => handlers.forEach((one) => one(JSON.parse(event.data))));
  source.addEventListener("anew", () => handlers.forEach((one) => one(null)));
  // A browser keeps few connections to one server: a page that nobody sees needs none.
  addEventListener("pagehide", () => source.close());
}
