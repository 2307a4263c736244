// Starts everything: charts, tables, theme.

const THEME_KEY = "gan-search-theme"; // As in theme.js, which runs on its own.
const VIEWS = { "over-time": overTime, curves, parallel, scatter, losses };

function drawCharts(kinds = Object.keys(VIEWS)) {
  hideTip();
  for (const kind of kinds) {
    const host = document.querySelector(`[data-chart="${kind}"] .drawn`);
    if (host) VIEWS[kind](host);
  }
}

function chooseTheme() {
  for (const radio of document.querySelectorAll('input[name="theme"]')) {
    radio.checked = radio.value === (document.documentElement.dataset.theme || "system");
    radio.addEventListener("change", () => {
      if (radio.value === "system") delete document.documentElement.dataset.theme;
      else document.documentElement.dataset.theme = radio.value;
      try {
        localStorage.setItem(THEME_KEY, radio.value);
      } catch {
        // Storage may be forbidden; the choice is then not remembered.
      }
    });
  }
}

/** Make a region focusable only while it can scroll, and show a shadow while there is more to the right. */
function markScrolling(region) {
  const update = () => {
    region.tabIndex = region.scrollWidth > region.clientWidth || region.scrollHeight > region.clientHeight ? 0 : -1;
    region.classList.toggle("beyond", region.scrollLeft + region.clientWidth < region.scrollWidth - 1);
  };
  new ResizeObserver(update).observe(region);
  region.addEventListener("scroll", update, { passive: true });
}

recipeChoice(document.getElementById("recipe-choice"), () => drawCharts(["parallel", "scatter"]));
drawCharts();
for (const table of document.querySelectorAll("table.sortable")) sortable(table);
document.querySelectorAll(".scroll[tabindex]").forEach(markScrolling);
chooseTheme();
// Charts are drawn as soon as the page is laid out, which is before the second frame.
requestAnimationFrame(() => requestAnimationFrame(() => performance.mark("charts-drawn")));
