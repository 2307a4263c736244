// Tables that can be sorted by any column and filtered. They show the first rows until all are asked for.

function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  const rows = laterRows(table);
  const first = table.tBodies[0].rows.length;
  const state = { all: false, text: "", order: null };
  const more = element("button", { type: "button", class: "more" });

  const show = () => {
    const fitting = (state.order || rows()).filter((row) => !state.text || row.textContent.toLowerCase().includes(state.text));
    table.tBodies[0].replaceChildren(...(state.all ? fitting : fitting.slice(0, first)));
    offer(fitting.length);
    return fitting.length;
  };
  const offer = (count) => {
    more.hidden = state.all || count <= first;
    more.textContent = `Show all ${count.toLocaleString("en")} trials`;
  };

  more.addEventListener("click", () => {
    state.all = true;
    show();
  });
  heads.forEach((head, column) => {
    const button = element("button", { type: "button" }, ...head.childNodes);
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const rising = head.getAttribute("aria-sort") !== "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", rising ? "ascending" : "descending");
      state.order = sorted(rows(), column, rising);
      show();
      LIVE.textContent = `sorted by ${button.textContent}, ${rising ? "ascending" : "descending"}`;
    });
  });
  const region = table.closest(".scroll");
  region.before(filter((text) => {
    state.text = text;
    LIVE.textContent = `${show()} trials`;
  }));
  region.after(more);
  offer(DATA.trials.length);
}

/** Return a function that returns all rows; it creates the later ones from the page's HTML at its first call. */
function laterRows(table) {
  let rows = null;
  return () => {
    if (rows) return rows;
    const later = document.createElement("template");
    later.innerHTML = table.parentElement.querySelector("noscript")?.textContent ?? "";
    rows = [...table.tBodies[0].rows, ...later.content.querySelectorAll("tbody tr")];
    return rows;
  };
}

function filter(changed) {
  const input = element("input", { type: "search", id: "filter", placeholder: "t0012, wgan, diverged …", autocomplete: "off" });
  input.addEventListener("input", () => changed(input.value.trim().toLowerCase()));
  return element("div", { class: "controls" }, element("label", { for: "filter" }, "Show only "), input,
    element("span", { class: "soft sideways", "aria-hidden": "true" }, "more columns to the right →"));
}

/** Return rows sorted by a column: numbers as numbers, empty cells last in both directions. */
function sorted(rows, column, rising) {
  const keyed = rows.map((row, place) => ({ row, place, key: sortKey(row.cells[column]) }));
  const numbers = keyed.every(({ key }) => key === "" || !Number.isNaN(Number(key)));
  const compare = numbers ? (a, b) => Number(a) - Number(b) : (a, b) => a.localeCompare(b, "en", { numeric: true });
  keyed.sort((a, b) => {
    if ((a.key === "") !== (b.key === "")) return a.key === "" ? 1 : -1;
    return (rising ? compare(a.key, b.key) : compare(b.key, a.key)) || a.place - b.place;
  });
  return keyed.map(({ row }) => row);
}

function sortKey(cell) {
  const key = cell.dataset.v ?? cell.textContent.trim();
  return key === NOTHING ? "" : key;
}
