const touch = !matchMedia("(hover: hover)").matches;
const config = {
  responsive: true, displaylogo: false, displayModeBar: touch ? false : "hover",
  modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]],
};
for (const place of document.querySelectorAll(".figure")) {
  const { data, layout } = JSON.parse(place.nextElementSibling.textContent);
  if (touch) layout.dragmode = false;  // a finger on a figure scrolls the page
  Plotly.newPlot(place, data, layout, config);
}
