// Marks: many points as one path. Each recipe has a colour and a shape, so that neither alone has to be recognised.

const RADIUS = 4;
const SHAPES = [
  (x, y, r) => `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`,
  (x, y, r) => `M${x - r * 0.9} ${y - r * 0.9}h${r * 1.8}v${r * 1.8}h${-r * 1.8}z`,
  (x, y, r) => `M${x} ${y - r * 1.2}l${r * 1.15} ${r * 2}h${-r * 2.3}z`,
  (x, y, r) => `M${x} ${y - r * 1.3}l${r * 1.3} ${r * 1.3}l${-r * 1.3} ${r * 1.3}l${-r * 1.3} ${-r * 1.3}z`,
  (x, y, r) => `M${x} ${y + r * 1.2}l${r * 1.15} ${-r * 2}h${-r * 2.3}z`,
];
const LOST = ["diverged", "failed"];

function shape(recipe, x, y, r = RADIUS) {
  return SHAPES[recipe % SHAPES.length](round(x), round(y), r);
}

function cross(x, y, r = RADIUS) {
  return `M${round(x - r)} ${round(y - r)}l${2 * r} ${2 * r}m0 ${-2 * r}l${-2 * r} ${2 * r}`;
}

function dot(x, y) {
  return `M${round(x)} ${round(y)}h0`;
}

function line(points) {
  return points.map(([x, y], index) => `${index ? "L" : "M"}${round(x)} ${round(y)}`).join("");
}

function round(value) {
  return Math.round(value * 10) / 10;
}

/** Collects path data by class, to draw one element for each class. */
class Paths {
  constructor() {
    this.parts = new Map();
  }

  add(kind, path) {
    if (!this.parts.has(kind)) this.parts.set(kind, []);
    this.parts.get(kind).push(path);
  }

  /** Return the elements, in the order in which their classes were first added. */
  elements() {
    return [...this.parts].map(([kind, paths]) => svg("path", { class: kind, d: paths.join("") }));
  }
}

/** Make lines fainter if there are many, so that their common trend and the highlighted ones stand out. */
function fade(host, long, short) {
  host.style.setProperty("--long", Math.max(0.3, Math.min(1, 30 / long)));
  host.style.setProperty("--short", Math.max(0.12, Math.min(0.6, 30 / short)));
}

/** Return the class of a trial's mark: full, hollow before its full length, a cross if it diverged or failed. */
function markClass(trial) {
  if (LOST.includes(trial.state)) return "mark lost";
  return `mark ${trial.state === "finished" ? "full" : "hollow"} ${colour(trial.recipe)}`;
}

function markPath(trial, x, y) {
  return LOST.includes(trial.state) ? cross(x, y) : shape(trial.recipe, x, y);
}

// ---- legends

function legend(entries) {
  return element("ul", { class: "legend" }, ...entries.map(({ label, kind, path }) => {
    const swatch = svg("svg", { viewBox: "0 0 24 14", width: 24, height: 14, "aria-hidden": "true" },
      svg("path", { class: kind, d: path }));
    return element("li", {}, swatch, label);
  }));
}

function recipeEntries(places = DATA.recipes.map((_, place) => place)) {
  return places.map((place) => ({ label: DATA.recipes[place], kind: `mark full ${colour(place)}`, path: shape(place, 12, 7) }));
}

function stateEntries(trials) {
  const there = (...states) => trials.some((trial) => states.includes(trial.state));
  const entries = [];
  const short = there("paused", "running") ? "stopped early, or not at its end yet" : "stopped early";
  if (there("stopped", "paused", "running")) entries.push({ label: short, kind: "mark hollow plain", path: shape(0, 12, 7) });
  if (there(...LOST)) entries.push({ label: "diverged or failed", kind: "mark lost", path: cross(12, 7) });
  return entries;
}

function hasWinner(trials) {
  return trials.some((trial) => trial.rank === 1);
}

const WINNER_ENTRY = { label: "winner", kind: "winner", path: "M1 7h22" };
