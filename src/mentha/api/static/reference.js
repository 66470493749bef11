// The reference: it reads openapi.json and shows every operation by group. What is folded is made when it is opened.
import { element, folded, prose } from "./dom.js";
import { tryIt } from "./request.js";
import { field, fields, use } from "./schema.js";

const METHODS = ["get", "post", "put", "patch", "delete"];
const GROUP_ORDER = ["agents", "users", "sessions", "projects", "jobs", "health"];

const main = document.querySelector("#operations");
const search = document.querySelector("#search");
const keyField = document.querySelector("#key");
const shown = []; // {operation, node, words} of every operation on the page

/** All operations of a description, each with what the page needs of it. */
function operationsOf(description) {
  const found = [];
  for (const [path, item] of Object.entries(description.paths)) {
    for (const method of METHODS.filter((name) => item[name])) {
      const raw = item[method];
      found.push({
        id: raw.operationId, path, method, group: raw.tags?.[0] ?? "other", summary: raw.summary ?? "", description: raw.description ?? "",
        parameters: [...(item.parameters ?? []), ...(raw.parameters ?? [])],
        bodySchema: raw.requestBody?.content?.["application/json"]?.schema ?? null,
        responses: raw.responses ?? {},
        secured: Boolean((raw.security ?? description.security ?? []).length),
      });
    }
  }
  return found.sort((a, b) => a.path.localeCompare(b.path) || METHODS.indexOf(a.method) - METHODS.indexOf(b.method));
}

function responsesOf(operation) {
  return Object.entries(operation.responses).sort(([a], [b]) => a.localeCompare(b)).map(([status, response]) => {
    const head = [element(status < "400" ? "span.code.good" : "span.code.bad", {}, status), ` ${response.description ?? ""}`];
    const schema = response.content?.["application/json"]?.schema;
    const kinds = Object.keys(response.content ?? {}).filter((kind) => kind !== "application/json");
    const also = kinds.length ? element("p", {}, "Also as ", kinds.map((kind) => element("code", {}, kind))) : null;
    return schema && Object.keys(schema).length ? folded(head, () => [also, fields(schema)]) : element("p.response", {}, head, also);
  });
}

function contentOf(operation) {
  const { parameters, bodySchema, description, summary } = operation;
  return element("div.content", {},
    description && description !== summary ? element("p", {}, prose(description)) : null,
    operation.secured ? null : element("p", {}, "Needs no key."),
    parameters.length ? [element("h4", {}, "Parameters"), element("ul.fields", {}, parameters.map((each) =>
      field(each.name, each.schema ?? {}, { required: each.required, description: each.description, place: each.in })))] : null,
    bodySchema ? [element("h4", {}, "Body ", element("span.type", {}, bodySchema.$ref?.split("/").pop() ?? "")), fields(bodySchema)] : null,
    element("h4", {}, "Answers"), responsesOf(operation),
    element("h4", {}, "Try it"), tryIt(operation, () => keyField.value.trim()),
  );
}

function nodeOf(operation) {
  const summary = [
    element(`span.method.${operation.method}`, {}, operation.method.toUpperCase()), " ",
    element("code.path", {}, operation.path), " ", element("span.summary", {}, operation.summary),
  ];
  const node = folded(element("h3", {}, summary), () => contentOf(operation), { class: "operation", id: operation.id });
  // The address follows what is open, so that it can be passed on; going back does not close anything.
  node.addEventListener("toggle", () => node.open && history.replaceState(null, "", `#${operation.id}`));
  return node;
}

function wordsOf(operation, schemas) {
  const names = Object.keys(schemas[operation.bodySchema?.$ref?.split("/").pop()]?.properties ?? {});
  const parameters = operation.parameters.map((each) => each.name);
  return [operation.method, operation.path, operation.summary, operation.description, operation.group, ...parameters, ...names].join(" ").toLowerCase();
}

function filter() {
  const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const { node, words } of shown) {
    node.hidden = !wanted.every((word) => words.includes(word));
    count += node.hidden ? 0 : 1;
  }
  for (const section of main.querySelectorAll("section")) section.hidden = !section.querySelector(".operation:not([hidden])");
  document.querySelector("#found").textContent = wanted.length ? `${count} of ${shown.length} operations` : "";
}

function openTarget() {
  const target = shown.find(({ operation }) => operation.id === decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  target.node.show();
  target.node.scrollIntoView();
}

function show(description) {
  const schemas = description.components?.schemas ?? {};
  use(schemas);
  const groups = grouped(operationsOf(description));
  const names = [...groups.keys()].sort((a, b) => rank(a) - rank(b));
  for (const name of names) {
    const nodes = groups.get(name).map((operation) => {
      const node = nodeOf(operation);
      shown.push({ operation, node, words: wordsOf(operation, schemas) });
      return node;
    });
    main.append(element("section", { "aria-labelledby": `group-${name}` }, element("h2", { id: `group-${name}` }, name), nodes));
    document.querySelector("#groups").append(element("li", {}, element("a", { href: `#group-${name}` }, name, " ", element("span", {}, String(nodes.length)))));
  }
}

function rank(name) {
  const place = GROUP_ORDER.indexOf(name);
  return place < 0 ? GROUP_ORDER.length : place;
}

function grouped(operations) {
  const groups = new Map();
  for (const operation of operations) groups.set(operation.group, [...(groups.get(operation.group) ?? []), operation]);
  return groups;
}

async function start() {
  const loading = document.querySelector("#loading");
  try {
    const response = await fetch(new URL("openapi.json", location.href));
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    show(await response.json());
    loading.remove();
    // Only now does the page have what its address may point to.
    openTarget();
    const root = await (await fetch(new URL(".", location.href))).json();
    document.querySelector("#version").textContent = `${root.api}, Mentha ${root.version}.`;
  } catch (error) {
    if (loading.isConnected) loading.textContent = `The description could not be read: ${error.message}`;
  }
}

search.addEventListener("input", filter);
document.querySelector("#key-form").addEventListener("submit", (event) => event.preventDefault());
addEventListener("hashchange", openTarget);
start();
