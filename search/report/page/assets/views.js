// The charts: the sweep over time, trials over training, results against parameters, losses.

/** Every evaluation, and the best so far. The arrow keys visit the improvements. */
function overTime(host) {
  const last = DATA.evaluations.at(-1)[0];
  const [unit, per] = last < 180 ? ["seconds", 1] : last < 10800 ? ["minutes", 60] : ["hours", 3600];
  const evaluations = DATA.evaluations.map(([seconds, trial, fid]) => ({ time: seconds / per, trial, fid }));
  const improved = [];
  for (const one of evaluations) if (!improved.length || one.fid < improved.at(-1).fid) improved.push(one);
  host.append(legend([...recipeEntries(), { label: "best so far", kind: "winner", path: "M1 11h8v-7h14" }]));
  new Chart(host, `Best ${DATA.short} against time`, (width) => {
    const { across, up, children } = frame(width, chartHeight(width), {
      x: (range) => linearScale([0, last / per || 1], range),
      y: (range) => measuredScale(evaluations.map(({ fid }) => fid), range),
      titles: { x: `time spent (${unit})`, y: DATA.metric },
    });
    const paths = new Paths();
    const hits = evaluations.map((one) => {
      const [x, y] = [across.to(one.time), up.to(one.fid)];
      paths.add(`dot ${colour(DATA.trials[one.trial].recipe)}`, dot(x, y));
      const when = () => `${DATA.short} ${fixed(one.fid)} after ${fixed(one.time)} ${unit}`;
      return { x, y, one, tip: () => trialTip(one.trial, when()) };
    });
    const stairs = improved.map((one, index) => `${index ? "H" : "M"}${round(across.to(one.time))}${index ? "V" : " "}${round(up.to(one.fid))}`);
    const best = svg("path", { class: "winner", d: `${stairs.join("")}H${round(across.to(last / per))}` });
    const better = new Set(improved);
    return {
      height: chartHeight(width),
      children: [...children, ...paths.elements(), best],
      find: nearest(hits),
      stops: hits.filter((hit) => better.has(hit.one)),
    };
  });
}

/** Best FID so far of each trial against images shown. The arrow keys visit the trials, best first. */
function curves(host) {
  const trials = DATA.trials.map((trial, place) => ({ ...trial, place })).filter((trial) => trial.curve.length);
  host.append(legend([
    ...recipeEntries(),
    WINNER_ENTRY,
    ...(trials.some((trial) => trial.published) ? [{ label: "published settings", kind: "curve published plain", path: "M1 7h22" }] : []),
    ...stateEntries(trials.filter((trial) => LOST.includes(trial.state))),
  ]));
  const long = trials.filter((trial) => curveClass(trial).includes("long")).length;
  fade(host, long, trials.length - long);
  new Chart(host, `Best ${DATA.short} of each trial against its training`, (width) => {
    const { across, up, children } = frame(width, chartHeight(width), {
      x: (range) => linearScale([0, extent(trials.map((trial) => trial.curve.at(-1)[0]))[1]], range),
      y: (range) => measuredScale(trials.flatMap((trial) => trial.curve.map(([, fid]) => fid)), range),
      titles: { x: "thousands of images shown (kimg)", y: `${DATA.metric}, best so far` },
    });
    const paths = [];
    const hits = [];
    const stops = [];
    // The best are drawn last, over the others.
    for (const trial of [...trials].reverse()) {
      const points = trial.curve.map(([kimg, fid]) => [across.to(kimg), up.to(fid)]);
      const trace = line(points);
      // A trial that was stopped at the first rung is a point, not a line.
      const [single, d] = points.length > 1 ? ["", trace] : [" single", `${trace}h0`];
      paths.push(svg("path", { class: curveClass(trial) + single, d }));
      if (LOST.includes(trial.state)) paths.push(svg("path", { class: "mark lost", d: cross(...points.at(-1)) }));
      points.forEach(([x, y], index) => {
        const [kimg, fid] = trial.curve[index];
        hits.push({ x, y, trace, tip: () => trialTip(trial.place, `${DATA.short} ${fixed(fid)} so far, after ${kimg} kimg`) });
      });
      stops.unshift(hits.at(-1));
    }
    return { height: chartHeight(width), children: [...children, ...paths], find: nearest(hits), stops };
  });
}

function curveClass(trial) {
  if (trial.rank === 1) return "winner";
  if (trial.published) return `curve published ${colour(trial.recipe)}`;
  return `curve ${["finished", "running"].includes(trial.state) ? "long" : "short"} ${colour(trial.recipe)}`;
}

/** One panel for each parameter. */
function scatter(host) {
  const trials = chosenTrials();
  if (trials.every((trial) => trial.best === null)) {
    host.replaceChildren(element("p", {}, "None of these trials was evaluated."));
    return;
  }
  const winner = { ...WINNER_ENTRY, kind: "mark chosen", path: shape(0, 12, 7, 6) };
  host.replaceChildren(legend([...recipeEntries(chosenRecipes()), ...stateEntries(trials), ...(hasWinner(trials) ? [winner] : [])]));
  const panels = element("div", { class: "panels" });
  host.append(panels);
  for (const parameter of DATA.params) {
    const used = trials.filter((trial) => trial.params[parameter.name] !== undefined);
    if (used.some((trial) => trial.best !== null)) scatterPanel(panels, parameter, used);
  }
}

function scatterPanel(panels, parameter, trials) {
  const value = (trial) => (parameter.choices ? trial.shown[parameter.name] : trial.params[parameter.name]);
  const rail = trials.some((trial) => trial.best === null) ? 14 : 0;
  new Chart(panels, `Best ${DATA.short} against ${parameter.name}`, (width) => {
    const { across, up, room, children } = frame(width, 230, {
      x: (range) => parameterScale(parameter, trials.map(value), range),
      y: (range) => measuredScale(trials.filter((trial) => trial.best !== null).map((trial) => trial.best), range),
      titles: { x: parameter.name, y: `best ${DATA.short}` },
      rail,
    });
    const paths = new Paths();
    // Marks of the same choice are placed side by side, as far as there is room.
    const aside = (place) => (parameter.choices ? (((place * 0.618) % 1) - 0.5) * Math.min(across.step * 0.7, trials.length) : 0);
    const hits = [...trials].reverse().map((trial) => {
      const x = across.to(value(trial)) + aside(trial.place);
      const y = trial.best === null ? room.top - rail : up.to(trial.best);
      paths.add(markClass(trial), markPath(trial, x, y));
      if (trial.rank === 1) paths.add("mark chosen", shape(0, x, y, 8));
      return { x, y, tip: () => trialTip(trial.place, `${parameter.name} ${trial.shown[parameter.name]}`) };
    });
    return { height: 230, children: [...children, ...paths.elements()], find: nearest(hits), stops: [...hits].sort((a, b) => a.x - b.x) };
  });
}

/** Both losses, one panel for each trial: losses of different objectives have no common scale. */
function losses(host) {
  host.append(legend([
    { label: "generator", kind: "curve long c0", path: "M1 7h22" },
    { label: "discriminator or critic", kind: "curve long c1", path: "M1 7h22" },
  ]));
  const panels = element("div", { class: "panels" });
  host.append(panels);
  for (const { trial, why, points } of DATA.losses) if (points.length) lossPanel(panels, trial, why, points);
}

function lossPanel(panels, place, why, points) {
  const trial = DATA.trials[place];
  const lost = trial.state === "diverged";
  const cut = { winner: lost && "diverged later", published: (lost || trial.state === "stopped") && trial.state }[why];
  const label = cut ? `${why}, ${cut}` : why;
  const title = `${trial.id} · ${DATA.recipes[trial.recipe]} · ${label}`;
  const panel = element("div", {}, element("h3", lost ? { class: "diverged" } : {}, title));
  panels.append(panel);
  new Chart(panel, `Losses of ${title}`, (width) => {
    const { across, up, room, children } = frame(width, 220, {
      x: (range) => linearScale([0, points.at(-1)[0]], range),
      y: (range) => lossScale(points.flatMap(([, g, d]) => [g, d]), range),
      titles: { x: "kimg", y: "loss" },
    });
    const hits = points.map(([kimg, g, d]) => ({
      x: across.to(kimg),
      y: up.to(g),
      tip: () => ({ head: title, lines: [`${kimg} kimg`, `generator ${short(g)}`, `discriminator or critic ${short(d)}`] }),
    }));
    const lines = [1, 2].map((loss) => line(points.map((point) => [across.to(point[0]), up.to(point[loss])])));
    const end = lost ? [svg("line", { class: "end", x1: hits.at(-1).x, x2: hits.at(-1).x, y1: room.top, y2: room.bottom })] : [];
    const drawnLines = lines.map((d, index) => svg("path", { class: `curve long c${index}`, d: points.length > 1 ? d : `${d}h0` }));
    return { height: 220, children: [...children, ...end, ...drawnLines], find: nearest(hits, true), stops: hits };
  });
}

function chartHeight(width) {
  return Math.round(Math.max(280, Math.min(420, width * 0.42)));
}
