// What the console knows, and how it stays true: everything is read once and then whatever the events name is read again.

import {find, get, readEvents} from "./api.js";

export const state = {
  regions: null, // By name; null: not read yet.
  bridges: null, // By datapath id.
  region: null,  // The name of the region that is read.
  groups: null,  // Of that region, by id.
  servers: null,
  client: null,  // Our address, or null.
  live: false,   // Events arrive.
  failure: null, // Why something could not be read.
  trials: [],    // Changes that wait for their confirmation, the newest first.
};

const listeners = new Set();
let scheduled = false;
let orders = null; // What the readings below have sorted; null: something has changed since.

export function onChange(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

// Who wants to know of events that change nothing of the above: listener(name, data), until what it returns is called.
const followers = new Set();

export function onEvent(listener) {
  followers.add(listener);
  return () => followers.delete(listener);
}

// Many changes in one turn are shown once.
function changed() {
  orders = null;
  if (scheduled) return;
  scheduled = true;
  queueMicrotask(() => {
    scheduled = false;
    for (const listener of [...listeners]) listener();
  });
}

const by = (key, objects) => new Map(objects.map((object) => [object[key], object]));

async function reading(work) {
  try {
    await work();
    state.failure = null;
  } catch (error) {
    state.failure = error.message;
  }
  changed();
}

export const readRegions = () => reading(async () => {
  state.regions = by("name", (await get("/v1/regions")).regions);
});

// Each bridge with `pending`: something that concerns it is not confirmed.
export const readBridges = () => reading(async () => {
  const {bridges, pending} = await get("/v1/status");
  for (const bridge of bridges) bridge.pending = pending.includes(bridge.dpid);
  state.bridges = by("dpid", bridges);
});

// A token of some regions sees those of theirs.
export const readTrials = () => reading(async () => {
  state.trials = (await get("/v1/changes?pending=true")).changes;
});

let regionReads = 0;

// Reads the groups and servers of region `name`, which is the one from now on (null: none).
export async function readRegion(name) {
  const number = ++regionReads;
  if (state.region !== name) {
    state.region = name;
    state.groups = state.servers = null;
  }
  if (!name) return;
  await reading(async () => {
    const query = `?region=${encodeURIComponent(name)}`;
    const [groups, servers] = await Promise.all([get(`/v1/security-groups${query}`), get(`/v1/servers${query}`)]);
    if (number !== regionReads) return; // Another region, or the same anew, is being read.
    state.groups = by("id", groups.security_groups);
    state.servers = by("id", servers.servers);
  });
}

export function readAll() {
  return Promise.all([readRegions(), readBridges(), readTrials(), state.region && readRegion(state.region)]);
}

async function readOne(map, key, path) {
  const object = await find(path);
  if (object && (object.region === undefined || object.region === state.region)) map.set(key, object);
  else map.delete(key);
}

// What a change has brought is in the answer; the event that follows says the same.
export function learn(kind, object) {
  const map = kind === "server" ? state.servers : state.groups;
  if (map && object?.region === state.region) map.set(object.id, object);
  changed();
}

async function follow({objects, more}) {
  const ours = objects.filter((object) => object.region === state.region);
  if (more || ours.length > 20) return readAll();
  return reading(async () => {
    const reads = [];
    // A region's counts and its default group move with its groups and servers.
    if (objects.some(({kind}) => kind !== "bridge")) reads.push(readRegions());
    if (objects.some(({kind}) => kind === "bridge" || kind === "server")) reads.push(readBridges());
    for (const {kind, id, action} of ours) {
      if (action === "deleted") (kind === "server" ? state.servers : state.groups)?.delete(id);
      else if (kind === "security_group" && state.groups) reads.push(readOne(state.groups, id, `/v1/security-groups/${id}`));
      else if (kind === "server" && state.servers) reads.push(readOne(state.servers, id, `/v1/servers/${id}`));
    }
    await Promise.all(reads);
  });
}

async function followBridge({dpid, listed, pending}) {
  await reading(async () => {
    const bridge = listed ? await find(`/v1/bridges/${dpid}`) : null;
    if (!state.bridges) return;
    if (bridge) state.bridges.set(dpid, {...bridge, pending});
    else state.bridges.delete(dpid);
    // The states of the ports there may be others now.
    const servers = [...(state.servers?.values() ?? [])].filter((server) => server.ports.some((port) => port.bridge === dpid ||
      (port.iface_id && !port.bridge)));
    if (servers.length > 20) await readRegion(state.region);
    else await Promise.all(servers.map((server) => readOne(state.servers, server.id, `/v1/servers/${server.id}`)));
  });
}

// Events are followed one after the other; what several of them say of one bridge is looked at once.
const waiting = [];
let following = false;

async function followAll() {
  if (following) return;
  following = true;
  while (waiting.length) {
    const [name, data] = waiting.shift();
    if (name === "bridge") {
      const again = waiting.some(([other, {dpid}]) => other === "bridge" && dpid === data.dpid);
      if (!again) await followBridge(data);
    } else if (name === "change") {
      await follow(data);
    } else if (name === "trial") {
      await readTrials();
    } else if (name === "ready" || name === "reset") {
      waiting.length = 0; // All of it is read now.
      await readAll();
    }
  }
  following = false;
}

function setLive(live) {
  if (state.live !== live) {
    state.live = live;
    changed();
  }
}

// Keeps a stream of events open as long as the page is looked at.
export async function stayLive() {
  let lastId = null;
  for (let pause = 500; ; pause = Math.min(pause * 2, 10000)) {
    if (document.hidden) {
      await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, {once: true}));
    }
    const stop = new AbortController();
    const hide = () => document.hidden && stop.abort();
    document.addEventListener("visibilitychange", hide);
    try {
      lastId = await readEvents(lastId, stop.signal, (name, data) => {
        pause = 500;
        setLive(true);
        for (const follower of [...followers]) follower(name, data);
        waiting.push([name, data]);
        followAll();
      });
    } catch (error) {
      if (error.name !== "AbortError") {
        state.failure = error.message;
        if (error.status) await readAll(); // Reachable, but without events: what there is now is better than nothing.
      }
    }
    document.removeEventListener("visibilitychange", hide);
    setLive(false);
    if (!document.hidden) await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

// Readings of the whole.
const collator = new Intl.Collator();
const byName = (a, b) => collator.compare(a.name, b.name) || (a.id < b.id ? -1 : 1);

function inOrder() {
  if (orders) return orders;
  const groups = [...(state.groups?.values() ?? [])].sort(byName), servers = [...(state.servers?.values() ?? [])].sort(byName);
  const members = new Map(groups.map(({id}) => [id, []]));
  for (const server of servers) for (const id of server.security_groups) members.get(id)?.push(server);
  return orders = {groups, servers, members};
}

export const groupsOf = () => inOrder().groups;
export const serversOf = () => inOrder().servers;
export const membersOf = (id) => inOrder().members.get(id) ?? [];
export const isDefault = (id) => state.regions?.get(state.region)?.default_group === id;

// Whom it moves to make `id` (null: a group to be made) the default: those that have not it alone.
export const movedBy = (id) => serversOf().filter(({security_groups: groups}) => groups.length !== 1 || groups[0] !== id);
