"use strict";

// Draws /openapi.json. Everything is made with createElement and textContent: no text of the document becomes markup.

const METHODS = ["get", "post", "put", "patch", "delete"];
const DEPTH_MAX = 5;
const LAST_TAG = "operations"; // health and metrics are for machines: people come for the rest
const OWN_FILES = "/docs";
const SAMPLE_NAMES = { catalog: "nyc", schema: "raw", table: "flights", namespace: "raw" }; // what `arco demo` registers
const SAMPLE_SQL = { "/query": "SELECT name, format FROM system.catalog.tables ORDER BY name", "/query-data": "SELECT count(*) AS flights FROM nyc.raw.flights" };
let api = null;

function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === "text") node.textContent = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

function words(text) {
  // `code` in descriptions is the only markup that is drawn.
  return String(text || "").split(/(`[^`]+`)/).map((part) =>
    part.length > 2 && part.startsWith("`") ? make("code", { text: part.slice(1, -1) }) : document.createTextNode(part));
}

function resolve(schema) {
  let found = schema || {};
  for (let step = 0; found.$ref && step < 20; step += 1) {
    const name = found.$ref.split("/").pop();
    found = { title: name, ...api.components.schemas[name] };
  }
  return found;
}

function variants(schema) {
  return (schema.anyOf || schema.oneOf || []).filter((option) => option.type !== "null");
}

function typeName(raw) {
  const schema = resolve(raw);
  const nullable = (schema.anyOf || schema.oneOf || []).some((option) => option.type === "null");
  const ending = nullable ? " or null" : "";
  const options = variants(schema);
  if (options.length) return options.map(typeName).join(" or ") + ending;
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.type === "array") return `list of ${typeName(schema.items || {})}`;
  if (schema.type === "object" && schema.additionalProperties) return `map of ${typeName(schema.additionalProperties)}`;
  if (schema.properties) return schema.title || "object";
  return [].concat(schema.type || "any").join(" or ");
}

function limits(schema) {
  const notes = [];
  const names = { minimum: "≥", maximum: "≤", exclusiveMinimum: ">", exclusiveMaximum: "<", minLength: "length ≥", maxLength: "length ≤", minItems: "items ≥", maxItems: "items ≤" };
  for (const [key, sign] of Object.entries(names)) if (schema[key] !== undefined) notes.push(`${sign} ${schema[key]}`);
  if (schema.pattern) notes.push(`matches ${schema.pattern}`);
  if (schema.default !== undefined && schema.default !== null) notes.push(`default ${JSON.stringify(schema.default)}`);
  return notes.length ? ` (${notes.join(", ")})` : "";
}

function inner(raw) {
  const schema = resolve(raw);
  if (schema.properties) return schema;
  if (schema.type === "array") return inner(schema.items || {});
  if (schema.type === "object" && schema.additionalProperties) return inner(schema.additionalProperties);
  const options = variants(schema);
  return options.length === 1 ? inner(options[0]) : null;
}

function fields(raw, isAnswer, depth = 0) {
  // A request says what must be sent, an answer what may be missing: the rest is the rule and goes without saying.
  const schema = inner(raw);
  if (!schema || depth >= DEPTH_MAX) return null;
  const required = new Set(schema.required || []);
  const list = make("ul", { class: "fields" });
  for (const [name, field] of Object.entries(schema.properties)) {
    const told = resolve(field);
    list.append(make("li", {},
      make("code", { text: name }),
      make("span", { class: "type", text: typeName(field) + limits(field) }),
      !isAnswer && required.has(name) ? make("span", { class: "must", text: "required" }) : null,
      isAnswer && !required.has(name) ? make("span", { class: "may", text: "may be absent" }) : null,
      field.description ? make("span", { class: "doc" }, ...words(field.description)) : null,
      told.properties || told.type === "array" || variants(told).length ? fields(field, isAnswer, depth + 1) : null));
  }
  return list;
}

function example(raw, depth = 0) {
  const schema = resolve(raw);
  if (schema.examples && schema.examples.length) return schema.examples[0];
  if (schema.default !== undefined && schema.default !== null) return schema.default;
  if (schema.enum) return schema.enum[0];
  const options = variants(schema);
  if (options.length) return example(options[0], depth);
  if (schema.properties && depth < DEPTH_MAX) {
    return Object.fromEntries(Object.entries(schema.properties).map(([name, field]) => [name, named(name, field, depth)]));
  }
  if (schema.type === "array") return depth < DEPTH_MAX ? [example(schema.items || {}, depth + 1)] : [];
  if (schema.type === "integer") return schema.minimum || 0;
  if (schema.type === "number") return 0.5;
  if (schema.type === "boolean") return true;
  if (schema.type === "string") return "text";
  return {};
}

function named(name, field, depth) {
  const value = example(field, depth + 1);
  if (value !== "text") return value;
  const samples = { name: "orders", data_type: "BIGINT", format: "parquet", description: "What it holds", sql: "SELECT 1", location: "warehouse/orders", created_at: "2026-01-01T00:00:00.123+00:00", updated_at: "2026-01-01T00:00:00.123+00:00" };
  return samples[name] || value;
}

function codeBlock(text) {
  const button = make("button", { class: "copy", type: "button", text: "Copy" });
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Select and copy";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  return make("div", { class: "code" }, make("pre", { tabindex: "0" }, make("code", { text })), button);
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function sampleBody(path, schema) {
  const body = example(schema);
  const ending = Object.keys(SAMPLE_SQL).find((one) => path.endsWith(one));
  if (ending && body.sql) return { sql: SAMPLE_SQL[ending] };
  // Optional fields are listed above; the shortest call that works is the better example.
  const told = resolve(schema);
  const wanted = told.required || [];
  return wanted.length && told.properties ? Object.fromEntries(wanted.map((name) => [name, body[name]])) : body;
}

function curl(method, path, operation) {
  // Reads work as they are after `arco demo`; changes name things of yours, so that a copied line breaks nothing.
  const name = (part) => (method === "get" && SAMPLE_NAMES[part]) || `my_${part}`;
  const shown = path.replaceAll(/\{(\w+)\}/g, (_, part) => encodeURIComponent(name(part)));
  const body = operation.requestBody && operation.requestBody.content["application/json"];
  const asks = (operation.parameters || []).some((one) => one.in === "query" && one.name === "format") ? "?format=json" : "";
  const verb = method === "get" || (method === "post" && body) ? "" : `-X ${method.toUpperCase()} `;
  const lines = [`curl ${verb}${quoted(location.origin + shown + asks)}`];
  const open = (operation.security || api.security || []).length === 0 || (api.security || []).some((one) => !Object.keys(one).length);
  if (!open) lines.push('-H "Authorization: Bearer $ARCO_TOKEN"');
  if (body) {
    lines.push("-H 'Content-Type: application/json'");
    lines.push(`-d ${quoted(JSON.stringify(sampleBody(path, body.schema), null, 2))}`);
  }
  return lines.join(" \\\n  ");
}

function parametersTable(parameters) {
  const rows = parameters.map((one) => make("tr", {},
    make("td", {}, make("code", { text: one.name })),
    make("td", { class: "faint", text: one.in }),
    make("td", {},
      make("span", { class: "faint", text: typeName(one.schema) + limits(one.schema) }),
      one.description ? make("div", {}, ...words(one.description)) : null)));
  return make("table", {}, make("tbody", {}, ...rows));
}

function answer(status, told) {
  const tone = status < "400" ? "good" : status < "500" ? "bad" : "worse";
  const contents = Object.entries(told.content || {}).map(([media, content]) => {
    const listed = fields(content.schema, true); // rows of a query have no fixed fields, and so no sample
    const sample = listed && media.endsWith("json") ? codeBlock(JSON.stringify(example(content.schema), null, 2)) : null;
    return make("div", {}, make("p", { class: "faint mono", text: media }), listed, sample);
  });
  const summary = make("summary", {}, make("span", { class: `status mono ${tone}`, text: status }), ...words(told.description));
  return make("details", { class: "answer", ...(status < "300" ? { open: "" } : {}) }, summary, ...contents);
}

function operationBody(method, path, operation) {
  const body = operation.requestBody && operation.requestBody.content["application/json"];
  return make("div", { class: "body" },
    operation.description ? make("p", {}, ...words(operation.description)) : null,
    (operation.parameters || []).length ? make("h4", { text: "Parameters" }) : null,
    (operation.parameters || []).length ? parametersTable(operation.parameters) : null,
    body ? make("h4", { text: "Request body" }) : null,
    body ? fields(body.schema, false) : null,
    make("h4", { text: "Try it" }),
    codeBlock(curl(method, path, operation)),
    make("h4", { text: "Answers" }),
    ...Object.entries(operation.responses).map(([status, told]) => answer(status, told)));
}

function breakable(path) {
  // A long path breaks before a slash, not inside a word.
  return path.split(/(?=\/)/).flatMap((part, index) => (index ? [make("wbr"), part] : [part]));
}

function operationCard(entry) {
  const { method, path, operation } = entry;
  const summary = make("summary", {},
    make("span", { class: `verb ${method}`, text: method }),
    make("code", { class: "path" }, ...breakable(path)),
    (operation.security || [1]).length === 0 ? make("span", { class: "badge", text: "public" }) : null,
    make("span", { class: "what", text: operation.summary || "" }));
  const card = make("details", { class: "operation", id: operation.operationId }, summary);
  // Bodies are drawn when first opened: a hundred schemas at once would be slow for nothing.
  card.addEventListener("toggle", () => {
    if (card.open && card.childElementCount === 1) card.append(operationBody(method, path, operation));
    if (card.open) history.replaceState(null, "", `#${operation.operationId}`); // the address bar is the link to share
    markHere();
  });
  entry.card = card;
  return card;
}

function entriesByTag() {
  const groups = new Map((api.tags || []).map((tag) => [tag.name, []]));
  for (const [path, item] of Object.entries(api.paths)) {
    if (path.startsWith(OWN_FILES)) continue;
    for (const method of METHODS) {
      if (!item[method]) continue;
      const operation = item[method];
      const tag = (operation.tags || ["other"])[0];
      if (!groups.has(tag)) groups.set(tag, []);
      const text = [method, path, operation.summary, operation.description, operation.operationId, tag].join(" ").toLowerCase();
      groups.get(tag).push({ method, path, operation, text });
    }
  }
  const last = groups.get(LAST_TAG);
  if (groups.delete(LAST_TAG)) groups.set(LAST_TAG, last);
  return groups;
}

function paragraphs(text) {
  return String(text || "").split(/\n\n+/).filter(Boolean).map((one) => make("p", {}, ...words(one)));
}

function draw() {
  document.title = `${api.info.title} reference`;
  document.getElementById("title").textContent = api.info.title;
  document.getElementById("version").textContent = api.info.version;
  document.getElementById("intro").replaceChildren(make("h1", { text: `${api.info.title} API` }), ...paragraphs(api.info.description));
  const operations = document.getElementById("operations");
  const nav = document.getElementById("nav");
  operations.replaceChildren();
  const groups = [];
  for (const [tag, entries] of entriesByTag()) {
    if (!entries.length) continue;
    const section = make("section", {}, make("h2", { class: "tag", text: tag }), ...entries.map(operationCard));
    const links = make("div", {}, make("h2", { text: tag }));
    for (const entry of entries) {
      entry.link = make("a", { href: `#${entry.operation.operationId}`, title: entry.operation.summary },
        make("span", { class: `verb ${entry.method}`, text: entry.method === "delete" ? "del" : entry.method }),
        make("span", { text: entry.operation.summary || entry.path }));
      links.append(entry.link);
    }
    operations.append(section);
    nav.append(links);
    groups.push({ entries, section, links });
  }
  const none = make("p", { class: "faint", hidden: "", text: "Nothing matches. Try a path such as /tables, a method, or a word of the summary." });
  operations.append(none);
  const search = document.getElementById("search");
  search.addEventListener("input", () => filter(groups, none, search.value));
  search.addEventListener("keydown", (event) => {
    const first = groups.flatMap((group) => group.entries).find((entry) => !entry.card.hidden);
    if (event.key === "Enter" && first) location.hash = first.operation.operationId;
  });
  filter(groups, none, search.value); // a reloaded page may come with its old text
  openLinked();
}

function filter(groups, none, text) {
  const terms = text.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const { entries, section, links } of groups) {
    let here = 0;
    for (const entry of entries) {
      const fits = terms.every((term) => entry.text.includes(term));
      entry.card.hidden = entry.link.hidden = !fits;
      here += fits ? 1 : 0;
    }
    section.hidden = links.hidden = here === 0;
    shown += here;
  }
  none.hidden = shown > 0;
}

function markHere() {
  for (const link of document.querySelectorAll("#nav a")) {
    const here = link.getAttribute("href") === location.hash;
    link.classList.toggle("here", here);
    if (here) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
    if (here) link.scrollIntoView({ block: "nearest" });
  }
}

function openLinked() {
  const card = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  markHere();
  if (card && card.tagName === "DETAILS") {
    card.open = true;
    card.scrollIntoView();
  }
  document.getElementById("nav").classList.remove("open");
  document.getElementById("menu").setAttribute("aria-expanded", "false");
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function remembered(value) {
  try {
    if (value) localStorage.setItem("arco-theme", value);
    return localStorage.getItem("arco-theme");
  } catch {
    return null; // storage may be forbidden; the page works without
  }
}

function start() {
  const theme = remembered();
  if (theme) document.documentElement.dataset.theme = theme;
  document.getElementById("theme").addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    remembered(document.documentElement.dataset.theme);
  });
  document.getElementById("menu").addEventListener("click", (event) => {
    const open = document.getElementById("nav").classList.toggle("open");
    event.currentTarget.setAttribute("aria-expanded", String(open));
  });
  addEventListener("hashchange", openLinked);
  addEventListener("keydown", (event) => {
    if (event.key === "/" && event.target.tagName !== "INPUT") {
      event.preventDefault();
      document.getElementById("search").focus();
    }
  });
  fetch("/openapi.json")
    .then((response) => (response.ok ? response.json() : Promise.reject(new Error(`the server answered ${response.status}`))))
    .then((found) => { api = found; draw(); })
    .catch((error) => {
      document.getElementById("operations").replaceChildren(
        make("p", { text: `The API description could not be loaded: ${error.message}. Reload the page, or open /openapi.json.` }));
    });
}

start();
