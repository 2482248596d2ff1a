"use strict";

// Fills the front page with what the server says of itself. Without this script the page is shorter, not broken.

const DEFAULT_ORIGIN = "http://127.0.0.1:8080";
const SHOWN_MAX = 10;

function make(tag, text, ...children) {
  const node = document.createElement(tag);
  if (text) node.textContent = text;
  node.append(...children);
  return node;
}

async function asked(path) {
  const response = await fetch(path, { headers: { accept: "application/json" } });
  return { status: response.status, body: await response.json() };
}

async function showState() {
  const state = document.getElementById("state");
  const [ready, build] = await Promise.all([asked("/ready"), asked("/")]);
  const word = ready.status === 200 ? "ready" : ready.body.message || "not ready";
  state.textContent = `${build.body.version} · ${word}`;
  state.className = `state ${ready.status === 200 ? "good" : "worse"}`;
  state.hidden = false;
}

function listOf(catalogs) {
  const list = make("ul");
  for (const one of catalogs.slice(0, SHOWN_MAX)) {
    list.append(make("li", "", make("code", one.name), one.description ? ` · ${one.description}` : ""));
  }
  return list;
}

async function showCatalogs() {
  const { status, body } = await asked(`/api/v1/catalogs?limit=${SHOWN_MAX + 1}`);
  if (status === 401 || status === 403) return make("p", "This server asks who you are: set ARCO_TOKEN for the commands below.");
  const catalogs = status === 200 ? body.catalogs : [];
  if (!catalogs.length) return make("p", "Nothing yet. Create a catalog as below, or stop this server and run arco demo for real data.");
  return catalogs.length > SHOWN_MAX ? make("div", "", listOf(catalogs), make("p", "and more: arco catalog ls")) : listOf(catalogs);
}

function commandsFor(first) {
  const name = first || "sales";
  return [
    ...(location.origin === DEFAULT_ORIGIN ? [] : [`export ARCO_URL=${location.origin}`]),
    first ? `arco catalog ls ${name}` : `arco catalog create ${name}`,
    'arco query "SELECT name, format FROM system.catalog.tables"',
    `curl ${location.origin}/api/v1/catalogs`,
    "arco --help",
  ].join("\n");
}

async function start() {
  showState().catch(() => undefined); // the page stands without it
  document.getElementById("commands").textContent = commandsFor("");
  try {
    const shown = await showCatalogs();
    document.getElementById("catalogs").replaceChildren(shown);
    const first = shown.querySelector("code");
    if (first && /^[\w-]+$/.test(first.textContent)) document.getElementById("commands").textContent = commandsFor(first.textContent);
  } catch {
    // the address of the list stays on the page
  }
}

start();
