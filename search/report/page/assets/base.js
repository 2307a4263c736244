// What all scripts use: the page's data, elements, and how numbers are written.

const DATA = JSON.parse(document.getElementById("data").textContent);
const NOTHING = "–";

function element(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

function drawn(name, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function fill(made, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function colour(recipe) {
  return `c${recipe % DATA.colours}`;
}

const ONE_DIGIT = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });

/** Write a measured number with one digit behind the point. */
function fixed(value) {
  return value === null || value === undefined ? NOTHING : ONE_DIGIT.format(value);
}

/** Write a number for an axis: as short as can be. */
function short(value) {
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e5)) return value.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e");
  return String(Number(value.toPrecision(4)));
}

/** Return the smallest and the largest of numbers, however many. */
function extent(values) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}
