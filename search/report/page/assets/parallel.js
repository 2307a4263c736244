// All settings of each trial on parallel axes, and the choice of a recipe.

const CHOICE = { recipe: null };

function chosenRecipes() {
  return CHOICE.recipe === null ? DATA.recipes.map((_, place) => place) : [CHOICE.recipe];
}

function chosenTrials() {
  const recipes = chosenRecipes();
  return DATA.trials.map((trial, place) => ({ ...trial, place })).filter((trial) => recipes.includes(trial.recipe));
}

/** Offer the recipes, with the winner's selected; `changed` is called at each choice. */
function recipeChoice(host, changed) {
  if (!host || DATA.recipes.length < 2) return;
  CHOICE.recipe = DATA.trials.find((trial) => trial.rank === 1)?.recipe ?? null;
  const select = element("select", { id: "recipe" }, element("option", { value: "" }, "all recipes"),
    ...DATA.recipes.map((name, place) => element("option", { value: place }, name)));
  select.value = CHOICE.recipe === null ? "" : String(CHOICE.recipe);
  select.addEventListener("change", () => {
    CHOICE.recipe = select.value === "" ? null : Number(select.value);
    changed();
  });
  host.append(element("label", { for: "recipe" }, "Trials of "), select);
}

function parallel(host) {
  const trials = chosenTrials();
  const axes = parallelAxes(trials);
  host.replaceChildren();
  if (axes.length < 2) return;
  host.append(legend([
    ...recipeEntries(chosenRecipes()).map((entry) => ({ ...entry, kind: entry.kind.replace("mark full", "curve long"), path: "M1 7h22" })),
    ...(hasWinner(trials) ? [WINNER_ENTRY] : []),
    ...(trials.some((trial) => trial.rank > 3) ? [{ label: "the others", kind: "curve others", path: "M1 7h22" }] : []),
    ...(trials.some((trial) => LOST.includes(trial.state)) ? [{ label: "diverged or failed", kind: "curve gone", path: "M1 7h22" }] : []),
  ]));
  const scroll = element("div", { class: "scroll" });
  const inner = element("div", {});
  inner.style.minWidth = `${axes.length * 84}px`;
  scroll.append(inner);
  host.append(scroll);
  const ranked = trials.filter((trial) => trial.rank !== null);
  const good = new Set(ranked.slice(0, Math.max(3, Math.ceil(ranked.length / 10))).map((trial) => trial.place));
  fade(host, good.size, trials.length - good.size);
  new Chart(inner, "All settings of each trial", (width) => drawParallel(width, 340, trials, axes, good));
}

/** Return the axes: the recipe, the parameters that these trials use, the result. */
function parallelAxes(trials) {
  const axes = DATA.params
    .map((parameter) => ({
      name: parameter.name,
      value: (trial) => (parameter.choices ? trial.shown[parameter.name] : trial.params[parameter.name]),
      scale: (values, range) => parameterScale(parameter, values, range),
    }));
  const recipes = chosenRecipes().map((place) => DATA.recipes[place]);
  if (recipes.length > 1) axes.unshift({ name: "recipe", value: (trial) => DATA.recipes[trial.recipe], scale: (_, range) => choiceScale(recipes, range) });
  axes.push({ name: `best ${DATA.short}`, value: (trial) => trial.best ?? undefined, scale: measuredScale });
  return axes.filter((axis) => trials.some((trial) => axis.value(trial) !== undefined));
}

function drawParallel(width, height, trials, axes, good) {
  const room = { left: 16, right: width - 62, top: 44, bottom: height - 42 };
  const step = (room.right - room.left) / (axes.length - 1);
  const children = [];
  axes.forEach((axis, index) => {
    const x = room.left + index * step;
    const values = trials.map(axis.value).filter((value) => value !== undefined);
    const scale = axis.scale(values, [room.bottom, room.top]);
    axis.place = (trial) => [x, axis.value(trial) === undefined ? room.bottom + 22 : scale.to(axis.value(trial))];
    children.push(...axisElements(axis.name, x, scale, room, index % 2 === 1));
    if (values.length < trials.length) {
      children.push(svg("text", { class: "tick halo", x: x + 5, y: room.bottom + 26 }, index === axes.length - 1 ? "none" : "unused"));
    }
  });
  const lines = [...trials].reverse().map((trial) => ({ trial, points: axes.map((axis) => axis.place(trial)) }));
  const paths = lines.map(({ trial, points }) => svg("path", { class: parallelClass(trial, good), d: line(points) }));
  const hit = ({ trial, points }, x, y) => ({ x, y, trace: line(points), tip: () => trialTip(trial.place) });
  const find = (x, y, reach) => {
    const segment = Math.max(0, Math.min(axes.length - 2, Math.floor((x - room.left) / step)));
    const share = (x - room.left - segment * step) / step;
    let closest = null;
    let least = reach;
    for (const one of lines) {
      const at = one.points[segment][1] * (1 - share) + one.points[segment + 1][1] * share;
      if (Math.abs(at - y) < least) [closest, least] = [hit(one, x, at), Math.abs(at - y)];
    }
    return closest;
  };
  const stops = [...lines].reverse().map((one) => hit(one, ...one.points.at(-1)));
  return { height, children: [...paths, ...children], find, stops };
}

/** Draw an axis with its name above; neighbours' names are at two heights, so that long ones do not overlap. */
function axisElements(name, x, scale, room, higher) {
  return [
    svg("line", { class: "axis", x1: x, x2: x, y1: room.top, y2: room.bottom }),
    svg("text", { class: "title", x: x - 8, y: room.top - (higher ? 28 : 12) }, name),
    ...scale.ticks.map(({ value, label }) => svg("text", { class: "tick halo", x: x + 5, y: scale.to(value) + 4 }, label)),
  ];
}

function parallelClass(trial, good) {
  if (trial.rank === 1) return "winner";
  if (LOST.includes(trial.state)) return "curve gone";
  return good.has(trial.place) ? `curve long ${colour(trial.recipe)}` : "curve others";
}
