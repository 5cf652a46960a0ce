"use strict";

// Figures: the light or the dark theme of the system, on paper the light one.

const THEMES = {
  light: { ink: "#3e4c59", line: "#e4e7eb", label: "rgba(255, 255, 255, 0.8)" },
  dark: { ink: "#c3ccd6", line: "#333d49", label: "rgba(24, 30, 37, 0.8)" },
};
const PAPER_WIDTH = 680;
const dark = matchMedia("(prefers-color-scheme: dark)");
const touch = !matchMedia("(hover: hover)").matches;
const config = {
  responsive: true, displaylogo: false, displayModeBar: touch ? false : "hover",
  modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]],
};

function themed(layout, theme) {
  layout.font.color = theme.ink;
  layout.paper_bgcolor = layout.plot_bgcolor = "rgba(0,0,0,0)";
  for (const name of Object.keys(layout)) {
    if (/^[xy]axis/.test(name)) layout[name].gridcolor = theme.line;
  }
  for (const label of layout.annotations || []) Object.assign(label, { bgcolor: theme.label, font: { ...label.font, color: theme.ink } });
  return layout;
}

const figures = [...document.querySelectorAll(".figure")];
const screenTheme = () => THEMES[dark.matches ? "dark" : "light"];

function drawAll() {
  for (const element of figures) {
    const { data, layout } = JSON.parse(element.nextElementSibling.textContent);
    if (touch) layout.dragmode = false;  // a finger on a figure scrolls the page
    Plotly.newPlot(element, data, themed(layout, screenTheme()), config);
  }
  dark.addEventListener("change", () => redrawAll(screenTheme()));
  addEventListener("beforeprint", () => redrawAll(THEMES.light, (element) => PAPER_WIDTH / (element.closest(".grid") ? 2 : 1)));
  addEventListener("afterprint", () => redrawAll(screenTheme()));
}

function redrawAll(theme, widthOf) {
  for (const element of figures) {
    const size = widthOf ? { autosize: false, width: widthOf(element) } : { autosize: true, width: undefined };
    Plotly.react(element, element.data, { ...themed(element.layout, theme), ...size }, config);
  }
}

// plotly.js is in the page as base64 of gzip.

async function loadPlotly(nonce) {
  const bytes = Uint8Array.from(atob(document.getElementById("plotly").textContent), (sign) => sign.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.nonce = nonce;
  script.textContent = await new Response(stream).text();
  document.head.append(script);
}

loadPlotly(document.currentScript.nonce).then(drawAll).catch((error) => {
  const problem = document.querySelector(".problem");
  problem.textContent = `The figures could not be drawn (${error}). They need a browser from 2023 or later.`;
  problem.hidden = false;
});

// The table of trials: sort by a heading, filter by text and state.

const table = document.querySelector(".trials");
const filters = document.querySelector(".filters");
const state = { text: "", status: "", column: -1, descending: false };

function compare(a, b) {
  if (a === "" || b === "") return (a === "") - (b === "");  // empty cells stay at the end
  const [x, y] = [Number(a), Number(b)];
  const order = Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
  return state.descending ? -order : order;
}

function sortRows() {
  const key = (row) => row.cells[state.column].dataset.value ?? row.cells[state.column].textContent;
  const rows = [...table.tBodies[0].rows].map((row) => [key(row), row]);
  rows.sort(([a], [b]) => compare(a, b));
  table.tBodies[0].append(...rows.map(([, row]) => row));
  [...table.tHead.rows[0].cells].forEach((cell, i) => {
    if (i === state.column) cell.setAttribute("aria-sort", state.descending ? "descending" : "ascending");
    else cell.removeAttribute("aria-sort");
  });
}

function filterRows() {
  const text = state.text.toLowerCase();
  let shown = 0;
  for (const row of table.tBodies[0].rows) {
    const hides = state.status && row.cells[1].textContent !== state.status;
    row.hidden = Boolean(hides) || !row.textContent.toLowerCase().includes(text);
    shown += !row.hidden;
  }
  filters.querySelector("output").textContent = `${shown} of ${table.tBodies[0].rows.length} trials`;
}

if (table) {
  const [input, select] = [filters.querySelector("input"), filters.querySelector("select")];
  restore();
  filters.hidden = false;
  [input.value, select.value] = [state.text, state.status];
  state.status = select.value;  // "" if there is no trial of this state any more
  input.addEventListener("input", () => { state.text = input.value; filterRows(); });
  select.addEventListener("change", () => { state.status = select.value; filterRows(); });
  table.tHead.querySelectorAll("button").forEach((button, column) => button.addEventListener("click", () => {
    state.descending = state.column === column && !state.descending;
    state.column = column;
    sortRows();
  }));
  if (state.column >= 0 && state.column < table.tHead.rows[0].cells.length) sortRows();
  filterRows();
}

// Copy buttons. Where the browser has no clipboard for a local file, the command is selected and copied.

for (const button of document.querySelectorAll(".copy")) {
  const command = button.parentElement.querySelector("code");
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(command.textContent);
    } catch {
      getSelection().selectAllChildren(command);
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}

// While the search runs, the page loads itself again: not while it is hidden or in use. Place and filters are kept.

const seconds = Number(document.documentElement.dataset.reload);

function restore() {
  try {
    Object.assign(state, JSON.parse(sessionStorage.getItem(location.pathname)));  // also of the last version, which stays
  } catch { /* a browser without storage for local files */ }
}

function reload() {
  if (document.hidden || filters?.contains(document.activeElement) || !getSelection().isCollapsed) return;
  try {
    sessionStorage.setItem(location.pathname, JSON.stringify(state));
  } catch { /* then the filters are lost */ }
  location.reload();  // the browser keeps the place on the page
}

if (seconds) setInterval(reload, 1000 * seconds);
