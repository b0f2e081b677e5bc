// What can be shown: everything, what was found, one room, one person. Each page loads what there is (`load`),
// and then changes only what the news say (`news`).

import { ask } from "./bot.js";
import { age, chip, h, link, when } from "./dom.js";
import { Picture } from "./picture.js";

const FEED = 20; // transitions that the overview keeps
const STEPS = 80; // transitions that a room's page keeps
const MACHINES = ["room", "turn", "user", "dialog", "tray"];
const NAMES = {
  user: "UserMachine", room: "RoomMachine", turn: "TurnMachine", dialog: "DialogMachine", tray: "TrayMachine",
};

class Page {
  /** What it follows: nothing, all (`{}`), or one room or person. */
  get live() { return null; }

  constructor(asked, main, signal) {
    Object.assign(this, { asked, main, signal });
  }

  shown(title, ...children) {
    document.title = `${title} · Surface inspector`;
    this.main.replaceChildren(...children.filter(Boolean));
  }

  /** The news are told from before the page is loaded on: these steps are on it already. */
  shows(history) {
    this.onIt = new Set(history.map(same));
  }

  /** What has happened that is not on the page. */
  since(steps) {
    return steps.filter((step) => !this.onIt.has(same(step)));
  }

  /** Put what is new at the top of a list, and let go of what is old. */
  prepend(list, made, most) {
    list.prepend(...made.reverse());
    while (list.children.length > most) list.lastElementChild.remove();
  }

  /** How long it took from the commit to what is seen, for whoever measures. */
  measured(happened) {
    const last = happened.at(-1);
    if (last) this.main.dataset.lag = String(Date.now() - last.ms);
  }
}

export class OverviewPage extends Page {
  get live() { return {}; }

  async load() {
    const told = await ask("overview", {}, this.signal);
    this.shows(told.history);
    this.cards = new Map(told.machines.map((machine) => [machine.machine, new Card(machine)]));
    this.feed = h("ol.feed", { "aria-label": "Latest transitions" }, told.history.map(told_of).reverse());
    this.queues = h("p.queues");
    this.shown("Overview",
      h("div.lead", {}, h("h1", {}, "What lives"), this.queues),
      h("div.overview", {},
        h("div.cards", {}, [...this.cards.values()].map((card) => card.element)),
        h("section.latest", { "aria-labelledby": "latest" }, h("h2", { id: "latest" }, "Latest transitions"),
          this.feed)));
    this.now(told.now);
    await Promise.all([...this.cards.values()].map((card) => card.draw()));
  }

  news({ now, happened: told = [] }) {
    if (now) this.now(now);
    const happened = this.since(told);
    if (!happened.length) return;
    this.prepend(this.feed, happened.map(told_of), FEED);
    this.measured(happened);
  }

  now({ phase, counts, inbox, outbox }) {
    for (const [name, card] of this.cards) card.count(counts[name] ?? {});
    const text = `${phase} · ${inbox} to decide · ${outbox} to carry out`;
    if (this.queues.textContent !== text) this.queues.textContent = text;
  }
}

/** A machine in the overview: its states with how many are in each, and the same on the diagram. */
class Card {
  constructor({ machine, picture, about, states }) {
    this.machine = machine;
    this.name = picture;
    this.counts = {};
    this.numbers = new Map();
    this.total = h("span.total");
    this.place = h("div.picture", { tabindex: 0, role: "group", "aria-label": `Diagram of ${picture}` });
    const chips = states.map(({ id, durable }) => {
      const number = h("b", {}, "0");
      this.numbers.set(id, number);
      return h("li", {}, h(`a.chip${durable ? "" : ".transient"}`,
        { href: link.find({ machine, state: id }), "data-machine": machine, "data-of": id }, `${id} `, number));
    });
    this.element = h(`section.card.${machine}`, { "aria-labelledby": `card-${machine}` },
      h("h2", { id: `card-${machine}` }, picture, " ", this.total), h("p.about", {}, about),
      h("ul.chips", {}, chips), this.place);
  }

  count(counts) {
    this.counts = counts;
    let total = 0;
    for (const [state, number] of this.numbers) {
      const text = (counts[state] ?? 0).toLocaleString("en");
      total += counts[state] ?? 0;
      if (number.textContent !== text) number.textContent = text;
      number.closest("a").classList.toggle("none", !counts[state]);
    }
    this.total.textContent = total.toLocaleString("en");
    this.picture?.count(counts);
  }

  async draw() {
    this.picture = await Picture.in(this.place, this.name);
    this.picture.count(this.counts);
    const [most] = Object.entries(this.counts).sort(([, a], [, b]) => b - a);
    this.picture.seek(most ? most[0] : this.numbers.keys().next().value);
  }
}

export class FoundPage extends Page {
  async load() {
    const told = await ask("find", this.asked, this.signal);
    const { words, machine, state, owner } = this.asked;
    const what = [words && `“${words}”`, machine && `${machine}s`, state && `in ${state}`, owner && `of ${owner}`];
    const asked = what.filter(Boolean).join(" ") || "everything";
    const first = (told.page - 1) * 25 + 1;
    this.shown(`Found: ${asked}`,
      h("h1", {}, "Found: ", asked),
      h("p", { role: "status", id: "total" }, told.total
        ? `${first}–${first + told.found.length - 1} of ${told.total.toLocaleString("en")}` : "nothing"),
      h("ol.results", { start: first }, told.found.map(result)),
      this.pager(told));
  }

  pager({ page, pages }) {
    if (pages < 2) return null;
    const to = (number, text, rel) => number < 1 || number > pages ? h("span", { "aria-disabled": "true" }, text)
      : h("a", { href: link.find({ ...this.asked, page: number }), rel }, text);
    return h("nav.pager", { "aria-label": "Pages" }, to(page - 1, "← before", "prev"),
      `page ${page} of ${pages.toLocaleString("en")}`, to(page + 1, "after →", "next"));
  }
}

function result(line) {
  const isRoom = line.machine === "room";
  const name = isRoom ? [line.label ? h("b", {}, line.label) : null, ` ${line.name || (line.state === "home" ? "home room" : "no name")}`] : line.id;
  return h("li", {}, h("a.result", { href: link[line.machine](line.id) },
    chip(line.machine, line.state), h("span.name", {}, name),
    isRoom ? h("small", {}, [line.owner, line.agent, line.id].filter(Boolean).join(" · ")) : h("small", {}, "person")));
}

/** What a room's page and a person's have in common: machines, their record, what is pending. */
class OnePage extends Page {
  draw(machines) {
    this.pictures = new Map();
    this.places = new Map(machines.map((machine) => [machine,
      h("div.picture", { tabindex: 0, role: "group", "aria-label": `Diagram of ${NAMES[machine]}` })]));
    this.stands = new Map(machines.map((machine) => [machine, h("span.stands")]));
    return machines.map((machine) => h(`section.card.${machine}`, { "aria-labelledby": `card-${machine}` },
      h("h2", { id: `card-${machine}` }, NAMES[machine], " ", this.stands.get(machine)), this.places.get(machine)));
  }

  async filled() {
    await Promise.all([...this.places].map(async ([machine, place]) =>
      this.pictures.set(machine, await Picture.in(place, NAMES[machine]))));
    this.stand();
  }

  waiting() {
    this.pending = h("div.pending");
    return h("section.card.waits", { "aria-labelledby": "pending" }, h("h2", { id: "pending" }, "Pending"), this.pending);
  }

  record(history) {
    this.steps = history;
    this.rows = h("tbody", {}, history.map(row).reverse());
    return h("section.card.history", { "aria-labelledby": "history" }, h("h2", { id: "history" }, "History"),
      h("div.wide", { tabindex: 0, role: "group", "aria-label": "History" }, h("table", {},
        h("thead", {}, h("tr", {}, ["when", "machine", "transition", "by", "effects"].map(
          (title) => h("th", { scope: "col" }, title)))), this.rows)));
  }

  stand() {
    for (const [machine, state] of Object.entries(this.states)) {
      const stands = this.stands.get(machine);
      if (stands && stands.dataset.state !== String(state)) {
        stands.replaceChildren(chip(machine, state));
        stands.dataset.state = String(state);
      }
      const picture = this.pictures.get(machine);
      picture?.stand(state, this.path(machine));
      if (state) picture?.seek(state);
    }
  }

  /** The steps to show on a diagram: what is recorded; of turns, the last one's. */
  path(machine) {
    const its = this.steps.filter((step) => step.machine === machine);
    const last = its.at(-1);
    return machine === "turn" ? its.filter((step) => step.key === last.key) : its;
  }

  happened(steps) {
    this.steps = [...this.steps, ...steps].slice(-STEPS);
    this.prepend(this.rows, steps.map(row), STEPS);
    for (const made of [...this.rows.children].slice(0, steps.length)) made.classList.add("new");
    const heard = steps.filter((step) => step.source !== step.target).map(
      (step) => `${step.machine}: ${step.source} to ${step.target}, by ${step.event}`);
    if (heard.length) document.getElementById("heard").replaceChildren(heard.join(". "));
  }

  news({ now, happened: told = [], gone, ...rest }) {
    const happened = this.since(told);
    if (gone) {
      this.main.prepend(h("p.problem", { role: "alert" }, "This was forgotten."));
      return;
    }
    if (happened.length) this.happened(happened);
    if (now) this.now(now);
    else if (happened.length) this.stand();
    this.changed?.(rest);
    this.measured(happened);
  }

  now(now) {
    this.states = now.states;
    this.stand();
    this.pending.replaceChildren(...this.waits(now).filter(Boolean));
  }

  queue(title, rows, headings, cells) {
    return h("section", {}, h("h3", {}, `${title} `, h("span.total", {}, String(rows.length))),
      rows.length ? h("table", {}, h("thead", {}, h("tr", {}, headings.map((each) => h("th", { scope: "col" }, each)))),
        h("tbody", {}, rows.slice(0, 50).map((its) => h("tr", {}, cells(its).map((cell) => h("td", {}, cell))))))
        : h("p.none", {}, "nothing"));
  }

  outbox(rows) {
    return this.queue("Outbox", rows, ["effect", "age", "attempts in vain"],
      ({ effect, since, attempts }) => [effect, age(since), String(attempts)]);
  }
}

export class RoomPage extends OnePage {
  get live() { return { room: this.asked.room }; }

  async load() {
    const told = await ask("room", { id: this.asked.room }, this.signal);
    this.shows(told.history);
    this.head = h("div.lead");
    this.changed({ room: told.room });
    this.states = told.now.states;
    const [room, turn, user, dialog, tray] = this.draw(MACHINES);
    this.shown(told.room.name ?? told.room.id, this.head,
      h("div.one", {},
        h("div.column", {}, room, turn, dialog),
        h("div.column", {}, this.waiting(), this.record(told.history), user, tray)));
    this.now(told.now);
    await this.filled();
  }

  changed({ room }) {
    if (!room) return;
    const facts = [
      ["person", room.owner ? h("a", { href: link.user(room.owner) }, room.owner) : "nobody"],
      ["kind", room.kind ?? "not known yet"], ["agent", room.agent ?? "none"], ["context", room.context ?? "none"],
      ["encrypted", room.encrypted ? "yes" : "no"], ["others in it", String(room.others)], ["id", h("code", {}, room.id)],
    ];
    this.head.replaceChildren(
      h("h1", {}, room.label ? h("b.label", {}, room.label) : null, " ", room.name || room.id, " ",
        chip("room", room.state)),
      h("dl.facts", {}, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))));
  }

  waits({ turns, asked, trays, inbox, outbox }) {
    return [
      this.queue("Turns", turns, ["message", "state"], ({ id, state }) => [h("code", {}, id), chip("turn", state)]),
      asked ? h("p", {}, "The open question is about: ", h("b", {}, asked.replace("_", " "))) : null,
      trays.length ? this.queue("Trays", trays, ["person", "files"], ({ user, files }) => [user, String(files)]) : null,
      this.queue("Inbox", inbox, ["kind", "age", ""], ({ kind, since, late, parked }) =>
        [kind, age(since), [parked && "waits for keys", late && "came while away"].filter(Boolean).join(", ")]),
      this.outbox(outbox),
    ];
  }
}

export class UserPage extends OnePage {
  get live() { return { user: this.asked.user }; }

  async load() {
    const id = this.asked.user;
    const [told, rooms] = await Promise.all(
      [ask("user", { id }, this.signal), ask("find", { owner: id, machine: "room" }, this.signal)]);
    this.shows(told.history);
    this.head = h("div.lead");
    this.changed({ user: told.user });
    this.states = told.now.states;
    const cards = this.draw(["user"]);
    this.shown(id, this.head, h("div.one", {},
      h("div.column", {}, ...cards),
      h("div.column", {}, h("section.card.rooms", { "aria-labelledby": "rooms" },
        h("h2", { id: "rooms" }, "Rooms ", h("span.total", {}, String(rooms.total))),
        h("ol.results", {}, rooms.found.map(result)),
        rooms.pages > 1 ? h("p", {}, h("a", { href: link.find({ owner: id, machine: "room" }) }, "all of them")) : null),
      this.waiting(), this.record(told.history))));
    this.now(told.now);
    await this.filled();
  }

  changed({ user }) {
    if (!user) return;
    const made = user.creations.map(({ kind, label }) => label ? `${kind} ${label}` : kind).join(", ");
    const facts = [
      ["agent", user.agent ?? "none"], ["language", user.locale], ["Space", user.space ? h("code", {}, user.space) : "none"],
      ["home rooms", String(user.homes)], ["being made", made || "nothing"],
    ];
    this.head.replaceChildren(h("h1", {}, user.id, " ", chip("user", user.state)),
      h("dl.facts", {}, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))));
  }

  waits({ outbox }) {
    return [this.outbox(outbox)];
  }
}

function moved({ source, event, target }) {
  return source === target ? [h("b", {}, event), ` in ${source}`] : [`${source} → ${target} by `, h("b", {}, event)];
}

/** A transition as a line of the overview. */
function told_of(step) {
  const whom = step.room ?? step.user;
  const to = step.room ? link.room(step.room) : step.user ? link.user(step.user) : null;
  return h("li", {}, when(step.ms), chip(step.machine, step.machine, "machine"), h("span", {}, moved(step)),
    to ? h("a", { href: to }, whom) : null);
}

/** What tells a step from all others of a page. */
function same({ machine, source, event, target, at, cause }) {
  return JSON.stringify([machine, source, event, target, at, cause.name]);
}

/** A transition as a row of the record. */
function row(step) {
  const { cause, effects } = step;
  return h("tr", { "data-machine": step.machine, "data-event": step.event },
    h("td", {}, when(step.ms)), h("td", {}, chip(step.machine, step.machine, "machine")), h("td", {}, moved(step)),
    h("td", {}, `${cause.kind} `, h("code", { title: cause.name }, cause.name)),
    h("td", {}, effects.map(({ effect }) => effect).join(", ") || "—"));
}
