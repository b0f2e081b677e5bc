// Asks the bot. The token lives in this tab only, and travels in a header, never in an address.

const KEPT = "surface-inspector-token";
const SILENCE = 40_000; // ms without a sign of life after which a stream is dead
const API = "/inspector/api/";

export class Refused extends Error {}
export class Away extends Error {}
export class Unknown extends Error {}

/** Take the token out of the address, if it is there: `#token=…` is how `surface demo` hands it over. */
export function takeToken() {
  const given = /^#token=([^&]+)/.exec(location.hash);
  if (!given) return;
  let token = given[1];
  try { token = decodeURIComponent(token); } catch { /* it was typed, not made: take it as it is */ }
  sessionStorage.setItem(KEPT, token);
  history.replaceState(null, "", "#/");
}

export const keepToken = (token) => sessionStorage.setItem(KEPT, token);
export const hasToken = () => Boolean(sessionStorage.getItem(KEPT));
export const dropToken = () => sessionStorage.removeItem(KEPT);

async function asked(what, parameters, signal) {
  const query = new URLSearchParams(parameters);
  let headers, answer;
  try {
    headers = new Headers({ Authorization: `Bearer ${sessionStorage.getItem(KEPT) ?? ""}` });
  } catch { // letters that no header may hold, so that it cannot be the token
    throw new Refused("The token was refused.");
  }
  try {
    answer = await fetch(`${API}${what}?${query}`, { headers, signal, cache: "no-store" });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Away("The bot is away.");
  }
  if (answer.status === 401) throw new Refused("The token was refused.");
  if (answer.status === 404) throw new Unknown("There is nothing of that name.");
  if (answer.status === 429) throw new Away("Too many pages of the inspector are open; close one.");
  if (!answer.ok) throw new Away("The bot is starting, or stopping.");
  return answer;
}

/** Ask once. */
export async function ask(what, parameters = {}, signal = undefined) {
  return (await asked(what, parameters, signal)).json();
}

/**
 * Follow what happens until `signal` is aborted, through restarts of the bot.
 * `on(event, data)`: `hello` each time that it is there (again), `news`, `missed`; `away(why)` when it is not.
 */
export async function follow(parameters, { on, away, refused, signal }) {
  let failures = 0;
  while (!signal.aborted) {
    try {
      const answer = await asked("live", parameters, signal);
      await read(answer.body, signal, (event, data) => {
        failures = 0;
        on(event, data);
      });
      away("The bot has stopped; trying again.");
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Refused) return refused(error);
      away(`${error instanceof Away ? error.message : "The bot is away."} Trying again.`);
    }
    failures += 1;
    await rest(Math.min(5000, 250 * 2 ** Math.min(failures, 5)), signal);
  }
}

async function read(body, signal, on) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await inTime(reader, signal);
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const [, event] = /^event: (.*)$/m.exec(part) ?? [];
      const [, data] = /^data: (.*)$/m.exec(part) ?? [];
      if (event === "bye") return;
      if (event) on(event, JSON.parse(data));
    }
  }
}

function inTime(reader, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reader.cancel();
      reject(new Away("The bot is silent."));
    }, SILENCE);
    reader.read().then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

function rest(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}

/** A machine's diagram; asked for in a way that is no text, so that nothing here turns text into markup. */
export function diagram(name) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("GET", `/inspector/diagrams/${name}.svg`);
    request.responseType = "document";
    request.onload = () => {
      const root = request.responseXML?.documentElement;
      return request.status === 200 && root ? resolve(root) : reject(new Unknown(name));
    };
    request.onerror = () => reject(new Away("The bot is away."));
    request.send();
  });
}
