// Elements made from values. Text always goes in as text, so nothing of a description or an answer can become markup.

/**
 * An element with attributes and children.
 * @param {string} tag its name, with classes after dots: "span.badge.get"
 * @param {Object} attributes set by name; functions become listeners ("onclick"), `true` an empty attribute; `false` and null are left out
 * @param {...(Node|string|null|Array)} children in order; null is left out
 */
export function element(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const node = document.createElement(name);
  if (classes.length) node.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(key, value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

/** A text as nodes, with what stands between backticks as code. */
export function prose(text) {
  return text.split("`").map((piece, place) => (place % 2 ? element("code", {}, piece) : piece));
}

/** A part that opens and closes; `fill` makes its content when it is opened for the first time. */
export function folded(summary, fill, attributes = {}) {
  const node = element("details", attributes, element("summary", {}, summary));
  let filled = false;
  const fillOnce = () => {
    if (filled || !node.open) return;
    filled = true;
    node.append(...[fill()].flat(Infinity).filter(Boolean));
  };
  // Opening by script must have its content at once; the event comes later.
  node.show = () => {
    node.open = true;
    fillOnce();
  };
  node.addEventListener("toggle", fillOnce);
  return node;
}
