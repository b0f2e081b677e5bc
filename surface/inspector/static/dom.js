// Builds elements. The one rule: what comes from the bot becomes text, never markup. (The page's policy
// forbids the browser to make markup of text at all; see `guard.py`.)

/** An element: `h("a.name", {href: "#/"}, "text", child)`; null children are left out. */
export function h(name, attributes = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(key, value);
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Where a person or a room is shown. */
export const link = {
  room: (id) => `#/room/${encodeURIComponent(id)}`,
  user: (id) => `#/user/${encodeURIComponent(id)}`,
  find: (asked) => `#/find?${new URLSearchParams(asked)}`,
};

/** A moment, as people read it. */
export function when(ms) {
  const moment = new Date(ms);
  const today = moment.toDateString() === new Date().toDateString();
  const clock = { hourCycle: "h23" };
  const text = today ? moment.toLocaleTimeString([], clock) : moment.toLocaleString([], clock);
  return h("time", { datetime: moment.toISOString(), title: moment.toLocaleString() }, text);
}

/** How long ago, in words; kept true by `refreshAges`. */
export function age(ms) {
  return ms ? h("time.age", { datetime: new Date(ms).toISOString(), "data-since": ms }, span(ms)) : "";
}

export function refreshAges(root) {
  for (const element of root.querySelectorAll("[data-since]")) {
    const text = span(Number(element.dataset.since));
    if (element.textContent !== text) element.textContent = text;
  }
}

function span(ms) {
  const seconds = Math.max(0, Math.round((Date.now() - ms) / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} d`;
}

/** A state, as a chip that says which machine is in it. */
export function chip(machine, state, kind = "") {
  return h(`span.chip${kind ? `.${kind}` : ""}`, { "data-machine": machine }, state ?? "none");
}
