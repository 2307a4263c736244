// Used by all scripts: the page's data, creating elements, writing numbers.

const DATA = JSON.parse(document.getElementById("data").textContent);
const NOTHING = "–";

function element(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function colour(recipe) {
  return `c${recipe % DATA.colours}`;
}

const ONE_DIGIT = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });

/** Write a measured number with one decimal. */
function fixed(value) {
  return value === null || value === undefined ? NOTHING : ONE_DIGIT.format(value);
}

/** Write a number for an axis, as short as possible. */
function short(value) {
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e5)) return value.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e");
  return String(Number(value.toPrecision(4)));
}

/** Return the smallest and the largest number; there may be too many for Math.min(...). */
function extent(values) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}
