// The page: which part of it is shown, and what keeps it true.

import { ask, Away, dropToken, follow, hasToken, keepToken, Refused, takeToken, Unknown } from "./bot.js";
import { h, link, refreshAges } from "./dom.js";
import { FoundPage, OverviewPage, RoomPage, UserPage } from "./pages.js";

const main = document.getElementById("main");
const words = document.getElementById("words");
const TYPING = 150; // ms of rest after which what is typed is looked for
const AGAIN = 2000; // ms after which a page that follows nothing is asked for again
let open = null; // stops what the page that is shown follows
let typing = 0;

function away(why) {
  const place = document.getElementById("away");
  place.hidden = !why;
  if (place.textContent !== (why ?? "")) place.textContent = why ?? "";
  document.documentElement.classList.toggle("is-away", Boolean(why));
}

function askForToken(why = "") {
  open?.abort();
  dropToken();
  const field = h("input", { id: "token", type: "password", autocomplete: "off", required: true });
  const form = h("form.token", {
    submit: (event) => {
      event.preventDefault();
      keepToken(field.value.trim());
      show();
    },
  },
    h("h1", {}, "Who is there?"),
    why ? h("p.problem", { role: "alert" }, why) : null,
    h("p", {}, "The inspector needs its token: ",
      h("code", {}, "ops.inspector_token"), " of the settings, or the link that ",
      h("code", {}, "surface demo"), " prints."),
    h("p", {}, h("label", { for: "token" }, "Token"), field, h("button", {}, "Look")));
  document.title = "Surface inspector";
  main.replaceChildren(form);
  field.focus();
}

function route() {
  const [path, query] = location.hash.slice(1).split("?");
  const [, kind, id] = (path || "/").split("/");
  const asked = Object.fromEntries(new URLSearchParams(query ?? ""));
  try {
    if (kind === "room" && id) return [RoomPage, { room: decodeURIComponent(id) }];
    if (kind === "user" && id) return [UserPage, { user: decodeURIComponent(id) }];
  } catch { /* an address that was cut: show what there is */ }
  return kind === "find" ? [FoundPage, asked] : [OverviewPage, {}];
}

async function show() {
  open?.abort();
  if (!hasToken()) return askForToken();
  const mine = open = new AbortController();
  const [Kind, asked] = route();
  if (Kind === FoundPage && document.activeElement !== words) words.value = asked.words ?? "";
  if (Kind !== FoundPage) words.value = "";
  const page = new Kind(asked, main, mine.signal);
  let last = Promise.resolve();
  whoIsThere();
  try {
    if (page.live) {
      follow(page.live, {
        signal: mine.signal,
        refused: (error) => askForToken(error.message),
        away,
        // One after the other: what is news to a page has to find it loaded.
        on: (event, data) => { last = last.then(() => heard(page, event, data)); },
      });
    } else {
      await page.load();
      away(null);
    }
  } catch (error) { failed(error, page); }
}

async function heard(page, event, data) {
  if (page.signal.aborted) return;
  try {
    // There, or there again, or too much happened: what was missed is not told again.
    if (event !== "news" || !page.isLoaded) {
      page.isLoaded = false;
      await page.load();
      page.isLoaded = true;
    } else page.news(data);
    away(null);
  } catch (error) { failed(error, page); }
}

/** Name the bot: it does not change while the page is open. */
function whoIsThere() {
  const place = document.getElementById("bot");
  if (place.childElementCount) return;
  ask("overview").then(({ bot, version }) => place.replaceChildren(bot, h("small", {}, version)), () => {});
}

function failed(error, page) {
  if (page.signal.aborted) return;
  if (error instanceof Refused) return askForToken(error.message);
  if (error instanceof Unknown) {
    open?.abort();
    document.title = "Nothing of that name · Surface inspector";
    main.replaceChildren(h("h1", {}, "Nothing of that name"),
      h("p", {}, "It may have been forgotten. ", h("a", { href: "#/" }, "To the overview")));
    return;
  }
  if (!(error instanceof Away)) throw error;
  away(`${error.message} Trying again.`);
  if (!page.live) setTimeout(() => page.signal.aborted || show(), AGAIN);
}

const results = () => [...main.querySelectorAll("a.result")];

document.getElementById("search").addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(typing);
  look();
});

function look() {
  const to = words.value.trim() ? link.find({ words: words.value.trim() }) : "#/";
  if (location.hash !== to) {
    if (location.hash.startsWith("#/find")) history.replaceState(null, "", to);
    else history.pushState(null, "", to);
    show();
  }
}

words.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(look, TYPING);
});

document.addEventListener("keydown", (event) => {
  const at = results().indexOf(document.activeElement);
  if (event.key === "/" && !event.ctrlKey && !event.metaKey && !event.altKey &&
      !(document.activeElement instanceof HTMLInputElement)) {
    event.preventDefault();
    words.focus();
    words.select();
  } else if (event.key === "ArrowDown" && (document.activeElement === words || at >= 0)) {
    event.preventDefault();
    results()[Math.min(at + 1, results().length - 1)]?.focus();
  } else if (event.key === "ArrowUp" && at >= 0) {
    event.preventDefault();
    (at ? results()[at - 1] : words).focus();
  } else if (event.key === "Enter" && document.activeElement === words) {
    // What is typed is what is looked for; with one answer that is where to go.
    if (results().length === 1) { event.preventDefault(); results()[0].click(); }
  } else if (event.key === "Escape" && (at >= 0 || document.activeElement === words)) {
    words.focus();
    words.select();
  }
});

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address says what is shown
  main.focus();
});

addEventListener("hashchange", () => {
  takeToken();
  show();
  if (document.activeElement !== words) main.focus({ preventScroll: true });
  scrollTo(0, 0);
});

setInterval(() => refreshAges(main), 1000);
takeToken();
show();
