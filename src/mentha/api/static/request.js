// Trying an operation: a form, the same request for curl, and what the server answered.
import { element } from "./dom.js";
import { constraints, example, typeOf } from "./schema.js";

const ANSWER_CHARS_MAX = 200_000;
// The page's own folder: "/", "/api/", or what a proxy puts before them.
const BASE = new URL(".", location.href);
// Ids of what was made last in this tab, by the name of the parameter that takes them.
const known = {};

let counter = 0;

/** The part of an operation in which it can be tried. `key` gives the API key at the time of sending. */
export function tryIt(operation, key) {
  const inputs = operation.parameters.map(parameterInput);
  const body = operation.bodySchema ? bodyInput(operation) : null;
  const curl = element("pre.curl", { tabindex: "0", "aria-label": "curl command" });
  const answer = element("div.answer", { "aria-live": "polite" });
  const stop = element("button", { type: "button", hidden: true }, "Stop");
  const send = element("button.primary", { type: "submit" }, "Send");
  const show = () => { curl.textContent = asCurl(operation, inputs, body); };
  const form = element("form.try", {
    oninput: show,
    onsubmit: (event) => {
      event.preventDefault();
      sendOnce(operation, inputs, body, key(), { answer, send, stop });
    },
  }, inputs.map((input) => input.row), body?.row ?? null, element("p.buttons", {}, send, stop, copyButton(curl)), curl, answer);
  show();
  return form;
}

function parameterInput({ name, in: place, required, schema = {}, description }) {
  const id = `p${++counter}`;
  const control = element("input", { id, name, value: known[name] ?? "", autocomplete: "off", spellcheck: "false", required: Boolean(required), placeholder: typeOf(schema).replace(" or null", "") });
  const row = element("div.input", {}, element("label", { for: id }, name, element("span.mark", {}, place)), control,
    description ? element("p", {}, description) : null, constraints(schema));
  return { name, place, row, value: () => control.value.trim() };
}

function bodyInput({ bodySchema }) {
  const id = `p${++counter}`;
  const text = JSON.stringify(example(bodySchema, known), null, 2);
  const control = element("textarea", { id, spellcheck: "false", rows: Math.min(18, text.split("\n").length + 1) }, text);
  return { row: element("div.input", {}, element("label", { for: id }, "Body (JSON)"), control), control, value: () => control.value };
}

function addressOf(operation, inputs) {
  const given = inputs.filter((input) => input.value());
  const path = operation.path.replace(/\{(\w+)\}/g, (whole, name) => {
    const input = given.find((each) => each.place === "path" && each.name === name);
    return input ? encodeURIComponent(input.value()) : whole;
  });
  const query = given.filter((input) => input.place === "query").map(({ name, value }) => `${name}=${encodeURIComponent(value())}`).join("&");
  return new URL(path.slice(1) + (query ? `?${query}` : ""), BASE);
}

function headersOf(inputs, body, key) {
  const headers = {};
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body) headers["Content-Type"] = "application/json";
  for (const input of inputs) if (input.place === "header" && input.value()) headers[input.name] = input.value();
  return headers;
}

function asCurl(operation, inputs, body) {
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  // Ids that are not given yet stay as {agent_id}, for the person to replace.
  const parts = [`curl -X ${operation.method.toUpperCase()} ${quoted(addressOf(operation, inputs).href.replace(/%7B(\w+)%7D/g, "{$1}"))}`];
  // The key stays out of the command: commands end in histories and screenshots.
  if (operation.secured) parts.push('-H "Authorization: Bearer $MENTHA_API_KEY"');
  for (const [name, value] of Object.entries(headersOf(inputs, body, ""))) parts.push(`-H ${quoted(`${name}: ${value}`)}`);
  if (body?.value().trim()) parts.push(`-d ${quoted(body.value())}`);
  return parts.join(" \\\n  ");
}

function copyButton(source) {
  const button = element("button", { type: "button" }, "Copy curl");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = "Copied";
    } catch {
      // Without TLS a browser gives no clipboard: then the text is selected for the person to copy.
      getSelection().selectAllChildren(source);
      button.textContent = "Selected: press Ctrl+C";
    }
  });
  return button;
}

async function sendOnce(operation, inputs, body, key, { answer, send, stop }) {
  const fault = whatIsMissing(operation, body, key);
  answer.replaceChildren(element("p.status", {}, fault ?? "Sending…"));
  if (fault) return;
  const aborting = new AbortController();
  stop.onclick = () => aborting.abort();
  stop.hidden = false;
  send.disabled = true;
  const began = performance.now();
  try {
    const options = { method: operation.method.toUpperCase(), headers: headersOf(inputs, body, key), credentials: "omit", signal: aborting.signal };
    const response = await fetch(addressOf(operation, inputs), body?.value().trim() ? { ...options, body: body.value() } : options);
    await showAnswer(operation, response, answer, began);
  } catch (error) {
    answer.append(element("p.status.bad", {}, error.name === "AbortError" ? "Stopped." : `No answer: ${error.message}`));
  } finally {
    stop.hidden = true;
    send.disabled = false;
  }
}

function whatIsMissing(operation, body, key) {
  if (operation.secured && !key) return "Enter the API key at the top of the page first.";
  if (!body?.value().trim()) return null;
  try {
    JSON.parse(body.value());
    return null;
  } catch (error) {
    return `The body is no JSON: ${error.message}`;
  }
}

async function showAnswer(operation, response, answer, began) {
  const status = element(response.ok ? "p.status.good" : "p.status.bad", {}, `${response.status} ${response.statusText}`);
  const shown = element("pre", { tabindex: "0", "aria-label": "Answer" });
  answer.replaceChildren(status, shown);
  const text = await readInto(response, shown);
  const id = response.headers.get("x-request-id");
  status.append(` in ${Math.round(performance.now() - began)} ms`, id ? element("span.type", {}, ` request ${id}`) : "");
  let value = null;
  try {
    value = JSON.parse(text);
  } catch {
    return; // a stream, or figures: shown as they came
  }
  shown.textContent = JSON.stringify(value, null, 2).slice(0, ANSWER_CHARS_MAX);
  remember(operation, response, value);
}

/** Show an answer as it comes in, so that a stream can be watched; returns its text. */
async function readInto(response, shown) {
  if (!response.body) return "";
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    text += piece.value;
    shown.textContent = text.slice(0, ANSWER_CHARS_MAX);
    if (text.length > ANSWER_CHARS_MAX) {
      await reader.cancel();
      shown.textContent += "\n… and more";
    }
  }
  return text;
}

/** Keep the id of a new agent, user, session or project for forms that are opened later, and fill it into those that are open and lack it. */
function remember(operation, response, value) {
  const kind = operation.path.match(/^\/(agents|users|sessions|projects)$/)?.[1];
  if (!kind || operation.method !== "post" || !response.ok || !value?.id) return;
  const name = `${kind.slice(0, -1)}_id`;
  known[name] = value.id;
  for (const control of document.querySelectorAll(".try input, .try textarea")) {
    const before = control.value;
    if (control.name === name && !before) control.value = value.id;
    if (control.tagName === "TEXTAREA") control.value = before.replaceAll(`<${name}>`, value.id);
    // The curl command follows.
    if (control.value !== before) control.dispatchEvent(new Event("input", { bubbles: true }));
  }
}
