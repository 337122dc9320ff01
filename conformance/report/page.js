"use strict";
// Charts, the table of cases, and addresses: #case=NAME and #rows=IMPLEMENTATION. Whatever came out
// of a record enters the page as text, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
const byId = (id) => document.getElementById(id);

function element(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

// Charts -----------------------------------------------------------------------------------------

const drawn = {};
const LONGEST = 30; // of a choice, in characters: a phone is no broader

async function draw(name, which) {
  const spec = data.charts[name][which];
  const place = byId(`chart-${name}`);
  if (!place) return;
  if (!spec) {
    place.textContent = "Nothing to draw.";
    return;
  }
  const ink = dark.matches ? "#e6edf3" : "#1f2328";
  const faint = dark.matches ? "#3d444d" : "#d0d7de";
  const axis = { labelColor: ink, titleColor: ink, gridColor: faint, domainColor: ink, tickColor: ink };
  const config = {
    background: null,
    autosize: { type: "fit-x", contains: "padding" },
    view: { stroke: null },
    axis,
    legend: { labelColor: ink, titleColor: ink },
    header: { labelColor: ink },
    text: { color: ink },
  };
  drawn[name]?.finalize();
  const options = { actions: false, mode: "vega-lite", renderer: "svg", config };
  drawn[name] = await vegaEmbed(place, spec, options);
  // The figure has a label, and the tables hold every number.
  for (const picture of place.querySelectorAll("svg")) picture.setAttribute("aria-hidden", "true");
}

function charts() {
  for (const name of Object.keys(data.charts)) {
    const choices = Object.keys(data.charts[name]);
    const pick = byId(`pick-${name}`);
    if (pick && !pick.options.length) {
      for (const choice of choices) {
        const label = choice.length > LONGEST ? `${choice.slice(0, LONGEST)}…` : choice;
        pick.append(element("option", label, { value: choice }));
      }
      pick.addEventListener("change", () => draw(name, pick.value));
    }
    draw(name, pick?.value ?? choices[0]).catch((error) => console.error(name, error));
  }
}

// The table of cases -----------------------------------------------------------------------------

const [IMPLEMENTATION, DEVICE, DTYPE, CASE, STATUS, WORST, RUNG, RATIOS, PASSED, SAID, AGAIN] =
  Array(11).keys();
const PAGE = 100;
const view = { column: null, falling: false, shown: PAGE };
const text = data.cases.map((row) => row.slice(0, WORST).join(" ").toLowerCase());

function found() {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const status = byId("status").value;
  let rows = data.cases.filter(
    (row, i) =>
      (!status || row[STATUS] === status) && words.every((word) => text[i].includes(word)),
  );
  if (view.column !== null) {
    const sign = view.falling ? -1 : 1;
    rows = rows.sort((a, b) => {
      const [x, y] = [a[view.column], b[view.column]];
      if (x === null || y === null) return (x === null) - (y === null);
      return sign * (x < y ? -1 : x > y ? 1 : 0);
    });
  }
  return rows;
}

function times(ratio) {
  if (ratio === null) return "";
  return ratio < 1000 ? `${Number(ratio.toPrecision(3))}×` : `${ratio.toExponential(0)}×`;
}

const SYMBOLS = { pass: "✓", "pass in part": "◐", "declared deviation": "△", unsupported: "–" };
const symbol = (status) => SYMBOLS[status] ?? "✗";

function showTable() {
  const rows = found();
  const body = document.querySelector("#table tbody");
  body.replaceChildren(
    ...rows.slice(0, view.shown).map((row) => {
      const line = element("tr");
      for (const column of [IMPLEMENTATION, DEVICE, DTYPE]) line.append(element("td", row[column]));
      const cell = element("td");
      cell.append(element("a", row[CASE], { href: `#case=${encodeURIComponent(row[CASE])}` }));
      line.append(cell, element("td", `${symbol(row[STATUS])} ${row[STATUS]}`));
      line.append(element("td", times(row[WORST])), element("td", row[RUNG]));
      return line;
    }),
  );
  byId("more").hidden = rows.length <= view.shown;
  byId("count").textContent = `${rows.length} of ${data.cases.length} results`;
}

function refresh() {
  view.shown = PAGE;
  showTable();
}

function sortBy(button) {
  const column = Number(button.dataset.column);
  view.falling = view.column === column && !view.falling;
  view.column = column;
  for (const heading of document.querySelectorAll("#table th")) {
    const own = heading.contains(button);
    const order = view.falling ? "descending" : "ascending";
    heading.setAttribute("aria-sort", own ? order : "none");
  }
  refresh();
}

// Addresses --------------------------------------------------------------------------------------

function showCase(name) {
  const rows = data.cases.filter((row) => row[CASE] === name);
  const place = byId("case");
  place.hidden = false;
  place.replaceChildren(element("h3", rows.length ? name : `There is no case ${name}`));
  if (rows.length) {
    const table = element("table");
    const head = element("tr");
    for (const title of ["implementation", "dtype", "status", ...data.rungs, "said"]) {
      head.append(element("th", title, { scope: "col" }));
    }
    const thead = element("thead");
    thead.append(head);
    const body = element("tbody");
    for (const row of rows) {
      const line = element("tr");
      const device = row[DEVICE] === "cpu" ? "" : ` (${row[DEVICE]})`;
      line.append(element("th", row[IMPLEMENTATION] + device, { scope: "row" }));
      line.append(element("td", row[DTYPE]), element("td", `${symbol(row[STATUS])} ${row[STATUS]}`));
      row[RATIOS].forEach((ratio, i) => {
        const outcome = row[PASSED][i]; // null: the rung was not reached
        const mark = outcome ? "✓" : "✗";
        line.append(element("td", outcome === null ? "–" : `${mark} ${times(ratio)}`));
      });
      line.append(element("td", row[SAID], { class: "wrap" }));
      body.append(line);
    }
    table.append(element("caption", "Errors in noise floors, rung by rung"), thead, body);
    const scroll = element("div", "", { class: "scroll", tabindex: "0", role: "region" });
    scroll.setAttribute("aria-label", "This case, rung by rung");
    scroll.append(table);
    const again = element("p", "Again: ");
    again.append(element("code", rows[0][AGAIN]));
    place.append(scroll, again);
  }
  place.scrollIntoView();
}

function follow() {
  const [key, value] = location.hash.slice(1).split("=", 2);
  if (value === undefined) return;
  let name;
  try {
    name = decodeURIComponent(value);
  } catch {
    name = value; // a broken address names no case, and says so
  }
  if (key === "case") showCase(name);
  if (key === "rows") {
    byId("search").value = name;
    refresh();
    byId("cases").scrollIntoView();
  }
}

for (const status of new Set(data.cases.map((row) => row[STATUS]))) {
  byId("status").append(element("option", status, { value: status }));
}
byId("search").addEventListener("input", refresh);
byId("status").addEventListener("change", refresh);
byId("more").addEventListener("click", () => {
  view.shown *= 4;
  showTable();
});
for (const button of document.querySelectorAll("#table button")) {
  button.addEventListener("click", () => sortBy(button));
}
addEventListener("hashchange", follow);
addEventListener("beforeprint", () => {
  for (const told of document.querySelectorAll("details")) told.open = true;
});
dark.addEventListener("change", charts);
showTable();
follow();
document.documentElement.dataset.ready = "table";
charts();
