// The tooltip of all charts: describes the point under the pointer or at the keyboard's position.

const TOOLTIP = element("div", { class: "tooltip", role: "tooltip", hidden: "" });
const LIVE = document.getElementById("live");
document.body.append(TOOLTIP);

/** Show a hit's text beside a place in the window. */
function showTip(tip, x, y) {
  const settings = Object.entries(tip.settings || {}).flatMap(([name, value]) => [
    element("dt", {}, name),
    element("dd", {}, value),
  ]);
  TOOLTIP.replaceChildren(
    element("strong", {}, tip.head),
    ...tip.lines.map((text) => element("p", {}, text)),
    ...(settings.length ? [element("dl", {}, ...settings)] : []),
  );
  TOOLTIP.hidden = false;
  const { width, height } = TOOLTIP.getBoundingClientRect();
  const fits = x + 14 + width < document.documentElement.clientWidth;
  const left = fits ? x + 14 : Math.max(4, x - 14 - width);
  const top = Math.max(4, Math.min(y + 14, document.documentElement.clientHeight - height - 4));
  TOOLTIP.style.left = `${left + scrollX}px`;
  TOOLTIP.style.top = `${top + scrollY}px`;
}

function hideTip() {
  TOOLTIP.hidden = true;
}

/** Have a screen reader read a hit's text. */
function announce(tip) {
  const settings = Object.entries(tip.settings || {}).map(([name, value]) => `${name} ${value}`);
  LIVE.textContent = [tip.head, ...tip.lines, ...settings].join(", ");
}

/** Return the text of a trial, below the chart's own lines. */
function trialTip(place, ...lines) {
  const trial = DATA.trials[place];
  const best = trial.best === null ? "never evaluated" : `best ${DATA.short} ${fixed(trial.best)} at ${trial.at} kimg`;
  const origin = trial.published ? "published settings" : trial.provenance;
  return {
    head: [trial.id, DATA.recipes[trial.recipe], ...(origin ? [origin] : [])].join(" · "),
    lines: [...lines, best, trial.reason ? `${trial.state}: ${trial.reason}` : trial.state],
    settings: trial.shown,
  };
}
