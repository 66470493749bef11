// A JSON Schema of the description as something to read, and as an example to send.
import { element, folded, prose } from "./dom.js";

const DEPTH_MAX_LEVELS = 6;
const DEFAULT_CHARS_SHOWN = 60;
// Bounds by the words that a person would use.
const BOUNDS = {
  minimum: "at least", maximum: "at most", exclusiveMinimum: "above", exclusiveMaximum: "below",
  minLength: "min. characters:", maxLength: "max. characters:", minItems: "min. items:", maxItems: "max. items:", pattern: "pattern",
};
// What a first try of a request needs beyond its required fields; `$agent_id` is the id of the agent that was made last.
const EXAMPLES = {
  CreateAgentRequest: { name: "Mia", model: "mentha/echo", about: "A friendly assistant" },
  CreateUserRequest: { name: "Ada" },
  CreateSessionRequest: { agent: "$agent_id" },
  ChatInput: { messages: [{ role: "user", content: "Hello!" }] },
  CreateToolRequest: {
    name: "get_weather", type: "function",
    function: { parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] } },
  },
};

let schemas = {};

/** Say where references lead: the `components.schemas` of the description. */
export function use(components) {
  schemas = components;
}

function nameOf(schema) {
  return schema.$ref ? schema.$ref.split("/").pop() : null;
}

function resolve(schema) {
  return schema.$ref ? schemas[nameOf(schema)] ?? {} : schema;
}

function branches(schema) {
  return schema.anyOf ?? schema.oneOf ?? null;
}

/** The type in words: `string (uuid)`, `list of Message`, `integer or null`. */
export function typeOf(schema) {
  const name = nameOf(schema);
  if (name) return name;
  const options = branches(schema);
  if (options) return [...new Set(options.map(typeOf))].join(" or ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" or ");
  if (schema.type === "array") return `list of ${typeOf(schema.items ?? {})}`;
  if (schema.type === "object" && schema.additionalProperties?.type) return `object of ${typeOf(schema.additionalProperties)}`;
  if (!schema.type) return "any";
  return schema.format ? `${schema.type} (${schema.format})` : schema.type;
}

function boundsOf(schema) {
  const own = Object.entries(BOUNDS).filter(([key]) => key in schema).map(([key, words]) => [`${words} `, element("code", {}, String(schema[key]))]);
  const inner = [...(branches(schema) ?? []), ...(schema.items ? [schema.items] : [])].filter((each) => !each.$ref).flatMap(boundsOf);
  return [...own, ...inner];
}

/** Bounds and default of a value, in words. */
export function constraints(schema) {
  const said = boundsOf(schema);
  if (schema.default !== undefined && schema.default !== null) {
    const text = JSON.stringify(schema.default);
    if (text.length <= DEFAULT_CHARS_SHOWN) said.push(["default ", element("code", {}, text)]);
  }
  return said.length ? element("p.bounds", {}, said.flatMap((each, place) => (place ? ["; ", ...each] : each))) : null;
}

function longDefault(schema) {
  if (typeof schema.default !== "string" || JSON.stringify(schema.default).length <= DEFAULT_CHARS_SHOWN) return null;
  return folded("The default", () => element("pre", {}, schema.default));
}

function marks(schema, required) {
  return [
    required ? element("span.mark.required", {}, "required") : null,
    schema.readOnly ? element("span.mark", {}, "set by the server") : null,
    schema["x-mentha"] ? element("span.mark", { title: "Not part of the Julep API" }, "Mentha only") : null,
  ];
}

/** The named schemas that a value can hold, below lists and choices. */
function targets(schema) {
  const name = nameOf(schema);
  if (name) return [schema];
  if (schema.type === "object" && schema.properties) return [schema];
  return [...(branches(schema) ?? []), ...(schema.items ? [schema.items] : [])].flatMap(targets);
}

/** One named value: a field of an object, or a parameter. `place` says where it goes, where that needs saying. */
export function field(name, schema, { required = false, description = "", place = "", depth = 0 } = {}) {
  const words = description || schema.description || "";
  return element("li.field", {},
    element("p.name", {}, element("code", {}, name), " ", element("span.type", {}, typeOf(schema)), place ? element("span.mark", {}, place) : null,
      marks(schema, required)),
    words ? element("p", {}, prose(words)) : null,
    constraints(schema),
    longDefault(schema),
    depth < DEPTH_MAX_LEVELS ? targets(schema).map((target) => folded(`Fields of ${nameOf(target) ?? "it"}`, () => fields(target, depth + 1))) : null,
  );
}

/** The fields of a schema, those of referenced ones folded in. */
export function fields(schema, depth = 0) {
  const target = resolve(schema);
  const description = depth && target.description ? element("p", {}, prose(target.description)) : null;
  if (!target.properties) {
    const list = targets(target).map((each) => folded(`Fields of ${nameOf(each) ?? "it"}`, () => fields(each, depth + 1)));
    return [description, element("p.type", {}, typeOf(target)), constraints(target), ...list];
  }
  const required = new Set(target.required ?? []);
  const items = Object.entries(target.properties).sort(([a], [b]) => required.has(b) - required.has(a));
  return [description, element("ul.fields", {}, items.map(([name, each]) => field(name, each, { required: required.has(name), depth })))];
}

/** A value that fits: the written example where there is one, else required fields only. */
export function example(schema, known, depth = 0) {
  const written = EXAMPLES[nameOf(schema)?.replace(/^(CreateOrUpdate|Update)/, "Create")];
  const target = resolve(schema);
  if (written && !depth) return filled(written, known);
  if (target.default !== undefined) return target.default;
  if (target.enum) return target.enum[0];
  if (target.const !== undefined) return target.const;
  const options = branches(target);
  if (options) return example(options[0], known, depth + 1);
  if (target.type === "array") return depth < DEPTH_MAX_LEVELS ? [example(target.items ?? {}, known, depth + 1)] : [];
  if (target.type === "integer" || target.type === "number") return target.minimum ?? 0;
  if (target.type === "boolean") return false;
  if (target.type === "string") return target.format === "uuid" ? "00000000-0000-0000-0000-000000000000" : "text";
  const names = depth < DEPTH_MAX_LEVELS ? target.required ?? [] : [];
  return Object.fromEntries(names.map((name) => [name, example(target.properties[name], known, depth + 1)]));
}

function filled(value, known) {
  if (Array.isArray(value)) return value.map((each) => filled(each, known));
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, filled(each, known)]));
  return typeof value === "string" && value.startsWith("$") ? known[value.slice(1)] ?? `<${value.slice(1)}>` : value;
}
