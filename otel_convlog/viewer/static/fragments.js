// Pieces of pages that the server renders when they are wanted.

// The one place where text becomes elements. It is this server's own, and what was logged is escaped in it; scripts in
// it would not run, neither so inserted nor by the page's policy.
const policy = window.trustedTypes?.createPolicy("convlog", { createHTML: (text) => text });

/** Fetch a piece of a page; rejects where the server refuses it. Returns a DocumentFragment. */
export async function fetchFragment(address, options = {}) {
  const answer = await fetch(address, { ...options, headers: { ...options.headers, "x-convlog-view": "1" } });
  if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
  return toFragment(await answer.text());
}

/** Make elements of HTML that this server has rendered. */
export function toFragment(html) {
  const template = document.createElement("template");
  template.innerHTML = policy ? policy.createHTML(html) : html;
  return template.content;
}
