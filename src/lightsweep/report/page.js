const touch = !matchMedia("(hover: hover)").matches;
const config = {
  responsive: true, displaylogo: false, displayModeBar: touch ? false : "hover",
  modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]],
};
for (const element of document.querySelectorAll(".figure")) {
  const { data, layout } = JSON.parse(element.nextElementSibling.textContent);
  if (touch) layout.dragmode = false;  // a finger on a figure scrolls the page
  Plotly.newPlot(element, data, layout, config);
}
