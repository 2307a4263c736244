// A chart: a drawing that is redrawn when its width changes, with points that pointer and keyboard can reach.
//
// `draw(width)` returns a scene:
//   height    of the drawing
//   children  its elements
//   find      (x, y, reach) → the hit nearest to a place, or null
//   stops     the hits that the arrow keys visit, in order
// A hit has x and y in pixels, `tip()`, and optionally `trace`: a path that is highlighted with it.

const KEYS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };

class Chart {
  constructor(host, label, draw) {
    this.draw = draw;
    this.stop = -1;
    this.box = element("div", {
      class: "plot",
      tabindex: 0,
      role: "application",
      "aria-roledescription": "chart",
      "aria-label": `${label}. The arrow keys go from point to point.`,
    });
    host.append(this.box);
    this.listen();
    // It is called once the page is laid out. Asking for the width now would lay the page out again for each chart.
    new ResizeObserver(([entry]) => this.render(Math.floor(entry.contentRect.width))).observe(this.box);
  }

  /** Draw, if the width has changed. A chart that cannot be drawn leaves the others alone. */
  render(width) {
    if (width < 40 || width === this.width) return;
    this.width = width;
    try {
      this.paint(width);
    } catch (error) {
      this.box.replaceChildren("This chart could not be drawn.");
      console.error(error);
    }
  }

  paint(width) {
    this.scene = this.draw(width);
    this.trace = svg("path", { class: "trace" });
    this.ring = svg("circle", { class: "ring", r: 7, visibility: "hidden" });
    const size = { width, height: this.scene.height, viewBox: `0 0 ${width} ${this.scene.height}`, "aria-hidden": "true" };
    this.svg = svg("svg", size, ...this.scene.children, this.trace, this.ring);
    this.box.replaceChildren(this.svg);
  }

  listen() {
    const point = (event) => this.point(event);
    this.box.addEventListener("pointermove", point);
    this.box.addEventListener("pointerdown", point);
    this.box.addEventListener("pointerleave", (event) => {
      // Lifting a finger also sends this event; the tooltip must stay to be read.
      if (event.pointerType !== "touch") this.clear();
    });
    this.box.addEventListener("blur", () => this.clear());
    this.box.addEventListener("focus", () => {
      if (this.box.matches(":focus-visible") && this.scene?.stops.length) this.go(Math.max(0, this.stop));
    });
    this.box.addEventListener("keydown", (event) => this.key(event));
  }

  point(event) {
    if (!this.scene) return;
    const area = this.svg.getBoundingClientRect();
    const hit = this.scene.find(event.clientX - area.left, event.clientY - area.top, event.pointerType === "touch" ? 40 : 24);
    if (hit) this.show(hit, event.clientX, event.clientY);
    else this.clear();
  }

  key(event) {
    if (event.key === "Escape") this.clear();
    const step = KEYS[event.key];
    if (step === undefined || !this.scene?.stops.length) return;
    event.preventDefault();
    this.go(this.stop + step);
  }

  go(stop) {
    this.stop = Math.max(0, Math.min(stop, this.scene.stops.length - 1));
    const hit = this.scene.stops[this.stop];
    const area = this.svg.getBoundingClientRect();
    this.show(hit, area.left + hit.x, area.top + hit.y);
    announce(hit.tip());
  }

  show(hit, x, y) {
    for (const [name, value] of Object.entries({ cx: hit.x, cy: hit.y, visibility: "visible" })) this.ring.setAttribute(name, value);
    this.trace.setAttribute("d", hit.trace || "");
    showTip(hit.tip(), x, y);
  }

  clear() {
    this.ring?.setAttribute("visibility", "hidden");
    this.trace?.setAttribute("d", "");
    hideTip();
  }
}

/** Return a function that finds the hit nearest to a place, within a reach; with `onlyX`, by x alone at any distance. */
function nearest(hits, onlyX = false) {
  return (x, y, reach) => {
    let closest = null;
    let least = onlyX ? Infinity : reach * reach;
    for (const hit of hits) {
      const away = (hit.x - x) ** 2 + (onlyX ? 0 : (hit.y - y) ** 2);
      if (away < least) [closest, least] = [hit, away];
    }
    return closest;
  };
}

/** Return the plot area beside these ticks, its scales and axes. `rail` keeps a strip free along the top. */
function frame(width, height, { y, x, titles, rail = 0 }) {
  const probe = y([height, 0]).ticks.map(({ label }) => label.length);
  const room = { left: Math.max(...probe, 2) * 7 + 12, right: width - 14, top: 26 + rail, bottom: height - 44 };
  const across = x([room.left + 6, room.right]);
  const up = y([room.bottom - 6, room.top]);
  const children = [
    ...up.ticks.flatMap(({ value, label }) => [
      svg("line", { class: "grid", x1: room.left, x2: room.right, y1: up.to(value), y2: up.to(value) }),
      svg("text", { class: "tick", x: room.left - 6, y: up.to(value) + 4, "text-anchor": "end" }, label),
    ]),
    svg("line", { class: "axis", x1: room.left, x2: room.right, y1: room.bottom, y2: room.bottom }),
    ...spaced(across).map(({ value, label }) =>
      svg("text", { class: "tick", x: across.to(value), y: room.bottom + 17, "text-anchor": "middle" }, label)),
    svg("text", { class: "title", x: 0, y: 13 }, titles.y),
    svg("text", { class: "title", x: room.right, y: height - 8, "text-anchor": "end" }, titles.x),
  ];
  return { across, up, room, children };
}

/** Return the ticks of a horizontal scale, without those whose labels would overlap. */
function spaced(scale) {
  let end = -Infinity;
  return scale.ticks.filter(({ value, label }) => {
    const half = label.length * 3.6;
    if (scale.to(value) - half < end + 6) return false;
    end = scale.to(value) + half;
    return true;
  });
}
