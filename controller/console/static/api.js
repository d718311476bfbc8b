// The daemon's HTTP interface: calls, the token, the stream of events.

const TOKEN = "sallyport-token";
let askForToken = null; // (wrong) => Promise of a token.
let asking = null;

export const token = () => sessionStorage.getItem(TOKEN);
export const forgetToken = () => sessionStorage.removeItem(TOKEN);
export function onTokenNeeded(ask) { askForToken = ask; }

// A refusal.  `errors`: {field, message}; `holders`: who uses the object.
export class Problem extends Error {
  constructor(status, body) {
    super(body?.detail || body?.title || `The controller answered ${status}.`);
    this.status = status;
    this.errors = body?.errors ?? [];
    this.holders = body?.in_use_by ?? [];
  }
}

// What time it is for the controller, whose clock counts where something has an end.
let ahead = 0;
export const controllerNow = () => Date.now() + ahead;

async function send(method, path, {body, headers, signal} = {}) {
  const given = token();
  const init = {method, signal, cache: "no-store", credentials: "omit", redirect: "error", headers: {...headers}};
  if (given) init.headers.Authorization = `Bearer ${given}`;
  if (body !== undefined) {
    init.headers["Content-Type"] = "application/json";
    init.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path, init);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, {detail: "The controller cannot be reached."});
  }
  const date = Date.parse(response.headers.get("Date") ?? "");
  if (date) ahead = Math.abs(date - Date.now()) < 2000 ? 0 : date - Date.now(); // It is told in whole seconds.
  if (response.status !== 401) return response;
  // Several calls may learn of it at the same time; one of them asks.
  if (token() === given) {
    asking ??= askForToken(Boolean(given)).finally(() => { asking = null; });
    sessionStorage.setItem(TOKEN, await asking);
  }
  return send(method, path, {body, headers, signal});
}

async function json(response) {
  const text = await response.text();
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return null;
  }
}

export async function get(path) {
  const response = await send("GET", path);
  const body = await json(response);
  if (!response.ok) throw new Problem(response.status, body);
  return body;
}

// The object, or null if there is none (any more).
export async function find(path) {
  try {
    return await get(path);
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

export const explain = async (body) => {
  const response = await send("POST", "/v1/explain", {body});
  const answer = await json(response);
  if (!response.ok) throw new Problem(response.status, answer);
  return answer;
};

// A change: {body, applied, revision}.  It waits a moment for the bridges, not long: what comes later the events tell.
// `within`: the seconds after which it is taken back unless somebody confirms it; without it stays.  `query`: "&prune=true".
export async function change(method, path, body, {etag, within, query = ""} = {}) {
  const trial = within ? `&confirm_within=${within}` : "";
  const response = await send(method, `${path}?wait=2${trial}${query}`, {body, headers: etag ? {"If-Match": `"${etag}"`} : {}});
  const answer = await json(response);
  if (!response.ok) throw new Problem(response.status, answer);
  return {body: answer, applied: response.headers.get("Sallyport-Applied") === "true",
          revision: Number(response.headers.get("Sallyport-Revision"))};
}

// What a change would do: {what, result, effect}.  A Problem is what the change would be refused with.
export async function preview(method, path, body, query = "") {
  const response = await send(method, `${path}?dry_run=true${query}`, {body});
  const answer = await json(response);
  if (!response.ok) throw new Problem(response.status, answer);
  return answer;
}

// Reads events until `signal` aborts or the stream ends: tell(name, data) for each.  Returns the id of the last one.
// EventSource cannot send a token, so the stream is read by hand.
export async function readEvents(lastId, signal, tell) {
  const response = await send("GET", "/v1/events", {signal, headers: lastId ? {"Last-Event-ID": lastId} : {}});
  if (!response.ok) throw new Problem(response.status, await json(response));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    let part;
    try {
      part = await reader.read();
    } catch {
      return lastId;
    }
    if (part.done) return lastId;
    const blocks = (rest + part.value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const event = {};
      for (const line of block.split("\n")) {
        const at = line.indexOf(": ");
        if (at > 0) event[line.slice(0, at)] = line.slice(at + 2);
      }
      if (event.event) {
        lastId = event.id ?? lastId; // What is only mentioned has none.
        tell(event.event, JSON.parse(event.data));
      }
    }
  }
}
