// A machine's diagram with what lives shown on it. The names of its parts, and the looks of the marks, are
// those of `surface.diagrams.lit`, which shows one moment; here they move.

import { diagram } from "./bot.js";

const SVG = "http://www.w3.org/2000/svg";
const ANYWHERE = "any_other"; // as in surface/diagrams/mermaid.py
const loaded = new Map();
const RING = 6, FLAG = 18, GLYPH = 8;

/** The diagram, to be put into the page once; its styles come with it. */
async function fetched(name) {
  if (!loaded.has(name)) {
    const sheet = new CSSStyleSheet();
    const source = diagram(name).then((root) => {
      // The page's policy allows no styles within markup; set by a script of ours they are.
      const styles = [...root.querySelectorAll("[data-css]")];
      sheet.replaceSync(styles.map((style) => style.textContent).join("\n"));
      document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
      styles.forEach((style) => style.remove());
      return root;
    });
    source.catch(() => loaded.delete(name));
    loaded.set(name, source);
  }
  return loaded.get(name);
}

export class Picture {
  /** @param {HTMLElement} place where it is shown */
  constructor(place, root) {
    this.place = place;
    this.root = document.importNode(root, true);
    for (const element of [this.root, ...this.root.querySelectorAll("[data-style]")]) {
      element.style.cssText = element.getAttribute("data-style") ?? "";
    }
    // Never larger than drawn, and never too small to read: then its place is scrolled.
    this.root.style.minWidth = `${parseFloat(this.root.style.maxWidth || "0") * 0.75}px`;
    this.root.setAttribute("aria-hidden", "true"); // the chips beside it say the same in words
    place.replaceChildren(this.root);
    this.boxes = new Map();
    for (const group of this.root.querySelectorAll("g[data-state]")) {
      this.boxes.set(group.dataset.state, group);
    }
  }

  static async in(place, name) {
    return new Picture(place, await fetched(name));
  }

  /** Show how many are in each state. */
  count(counts) {
    for (const [state, group] of this.boxes) {
      const number = counts[state] ?? 0;
      let badge = group.querySelector(".marks.counted");
      if (number && !badge) group.append(badge = marks("counted"));
      if (badge) badge.replaceChildren();
      if (number) {
        const { x, y, width } = outline(group), text = number.toLocaleString("en");
        label(badge, "count", Math.max(x + width - wide(text) + 8, x + wide("now")), y, text);
      }
    }
  }

  /** Show where one stands, and the steps that led there. */
  stand(current, steps = []) {
    const visited = new Set(steps.flatMap((step) => [step.source, step.target]));
    for (const [state, group] of this.boxes) {
      group.querySelector(".marks.stands")?.remove();
      if (state !== current && !visited.has(state)) continue;
      const mark = marks("stands");
      const { x, y, width, height } = outline(group);
      rect(mark, state === current ? "ring" : "ring visited",
        x - RING, y - RING, width + 2 * RING, height + 2 * RING, 9);
      if (state === current) label(mark, "flag", x - 8, y, "now");
      group.append(mark);
    }
    for (const element of this.root.querySelectorAll(".walked")) element.classList.remove("walked");
    for (const step of steps) this.walk(step);
    this.root.dataset.current = current ?? "";
  }

  walk({ source, event, target }) {
    if (source === target) {
      for (const line of this.boxes.get(source)?.querySelectorAll("text[data-event]") ?? []) {
        if (line.dataset.event === event) line.classList.add("walked");
      }
      return;
    }
    for (const start of [source, ANYWHERE]) {
      const both = [...this.root.querySelectorAll("[data-source]")].filter(
        (each) => each.dataset.source === start && each.dataset.target === target);
      const lines = both.flatMap((each) => [...each.querySelectorAll("text[data-event]")])
        .filter((line) => line.dataset.event === event);
      if (!lines.length) continue;
      for (const each of [...both.filter((e) => e.tagName === "path"), ...lines]) {
        each.classList.add("walked");
      }
      return;
    }
  }

  /** Bring a state into the middle of a place that does not show all of the diagram. */
  seek(state) {
    const group = this.boxes.get(state);
    if (!group || this.sought === state) return;
    this.sought = state;
    const box = group.getBoundingClientRect(), view = this.place.getBoundingClientRect();
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.place.scrollTo({
      left: this.place.scrollLeft + box.left - view.left - (view.width - box.width) / 2,
      top: this.place.scrollTop + box.top - view.top - (view.height - box.height) / 2,
      behavior: still ? "instant" : "smooth",
    });
  }
}

const wide = (text) => text.length * GLYPH + 12;

function outline(group) {
  for (const box of group.querySelectorAll("rect")) {
    if (box.closest(".marks") || !box.getAttribute("width")) continue;
    const [x, y, width, height] = ["x", "y", "width", "height"].map((n) => Number(box.getAttribute(n)));
    return { x, y, width, height };
  }
  return { x: 0, y: 0, width: 0, height: 0 };
}

function element(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

const marks = (name) => element("g", { class: `marks ${name}` });

function rect(parent, name, x, y, width, height, rx) {
  parent.append(element("rect", { class: name, x, y, width, height, rx }));
}

function label(parent, name, x, y, text) {
  rect(parent, name, x, y - FLAG + 4, wide(text), FLAG, FLAG / 2);
  const shown = element("text", {
    class: name, "text-anchor": "middle", x: x + wide(text) / 2, y: y - FLAG + 4 + FLAG / 2 + 4.5,
  });
  shown.textContent = text;
  parent.append(shown);
}
