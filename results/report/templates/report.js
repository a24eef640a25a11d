"use strict";
(() => {
  const plots = JSON.parse(document.getElementById("plots").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // The error bar of a point whose interval reaches 0 runs off the lower edge of a logarithmic plot.
  const bars = (points, paint) => ({
    type: "data", symmetric: false, thickness: 1.2, width: 3, color: paint,
    array: points.y.map((y, i) => (points.high[i] === null ? 0 : points.high[i] - y)),
    arrayminus: points.y.map((y, i) => (points.low[i] === null ? 0 : y - Math.max(points.low[i], y * 1e-4))),
  });

  function traceOf(curve, measure, work, narrow) {
    const points = curve.y[measure], paint = colour(`--family-${curve.colour}`);
    return {
      type: "scatter", mode: "lines+markers", name: curve.name, legendgroup: curve.family, legendgrouptitle: { text: narrow ? "" : curve.family },
      x: curve.x[work], y: points.y, text: curve.hover, hovertemplate: "%{text}<extra></extra>", error_y: bars(points, paint),
      line: { color: paint, width: 1.8, dash: curve.dash },
      marker: { color: paint, size: 8, symbol: points.limit.map((limit) => (limit ? "triangle-down-open" : curve.symbol)), line: { color: colour("--paper"), width: 1 } },
    };
  }

  // Ticks at 1, 2, 5 times powers of ten where they are few, at the powers alone where they are many.
  function ticksOf(values) {
    const known = values.filter((value) => value > 0);
    if (!known.length) return {};
    const from = Math.floor(Math.log10(Math.min(...known))), to = Math.ceil(Math.log10(Math.max(...known)));
    const ticks = [];
    for (let power = from; power <= to; power++) for (const digit of to - from > 4 ? [1] : [1, 2, 5]) ticks.push(digit * 10 ** power);
    const low = Math.min(...known) / 2, high = Math.max(...known) * 2;
    const tickvals = ticks.filter((tick) => tick >= low && tick <= high);
    return { tickvals, ticktext: tickvals.map((tick) => (tick >= 1e5 || tick < 1e-3 ? tick.toExponential(0) : String(Number(tick.toPrecision(1))))) };
  }

  function draw(figure) {
    const canvas = figure.querySelector(".canvas"), plot = plots[figure.dataset.plot];
    const chosen = (kind) => figure.querySelector(`[data-${kind}][aria-pressed="true"]`).dataset[kind];
    const measure = plot.measures.find((item) => item.name === chosen("measure"));
    const work = plot.work.find((item) => item.name === chosen("work"));
    const drawable = plot.curves.filter((curve) => curve.y[measure.name].y.some((y, i) => y !== null && curve.x[work.name][i] !== null));
    const ys = drawable.flatMap((curve) => curve.y[measure.name].y), xs = drawable.flatMap((curve) => curve.x[work.name]);
    const heights = [...ys, measure.floor].filter((y) => y > 0).map(Math.log10);
    const narrow = canvas.clientWidth < 640;
    const families = new Set(drawable.map((curve) => curve.family)).size;
    const axis = { type: "log", gridcolor: colour("--line"), linecolor: colour("--line"), zeroline: false, ticks: "outside", tickcolor: colour("--line") };
    const traces = drawable.map((curve) => traceOf(curve, measure.name, work.name, narrow));
    const floor = measure.floor > 0 ? {
      shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: measure.floor, y1: measure.floor, line: { color: colour("--ink"), width: 1.2, dash: "dash" } }],
      annotations: [{ xref: "paper", x: 0, y: Math.log10(measure.floor), text: "floor: perfect samples", showarrow: false, xanchor: "left", yanchor: "bottom" }],
    } : { shapes: [], annotations: [] };
    const layout = {
      ...floor,
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: colour("--sans"), size: 13, color: colour("--ink") },
      height: narrow ? 420 + 20 * drawable.length + 4 * families : Math.max(500, 110 + 20 * drawable.length + 30 * families),
      margin: { l: narrow ? 54 : 70, r: 10, t: 38, b: 54 },
      xaxis: { ...axis, title: { text: work.title, standoff: 10 }, ...ticksOf(xs) },
      yaxis: { ...axis, title: narrow ? undefined : { text: measure.title, standoff: 8 }, ...ticksOf([...ys, measure.floor]), range: [Math.min(...heights) - 0.35, Math.max(...heights) + 0.3] },
      legend: narrow ? { orientation: "v", x: 0, y: -0.22, yanchor: "top", groupclick: "toggleitem", tracegroupgap: 4 } : { groupclick: "toggleitem", tracegroupgap: 6, x: 1.02 },
      hoverlabel: { bgcolor: colour("--raised"), bordercolor: colour("--line"), font: { color: colour("--ink"), family: colour("--sans"), size: 12 }, align: "left" },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--soft"), activecolor: colour("--ink") },
      hovermode: "closest", showlegend: true,
    };
    figure.querySelector(".about").textContent = measure.note;
    Plotly.react(canvas, traces, layout, { responsive: true, displaylogo: false, modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]] });
  }

  const figures = [...document.querySelectorAll("figure.plot")];
  for (const figure of figures) {
    figure.addEventListener("click", (event) => {
      const button = event.target.closest(".switch button");
      if (!button) return;
      for (const other of button.parentElement.children) other.setAttribute("aria-pressed", String(other === button));
      draw(figure);
    });
    draw(figure);
  }
  dark.addEventListener("change", () => figures.forEach(draw));

  const table = document.getElementById("listing"), body = table.tBodies[0], rows = [...body.rows];
  const filter = document.getElementById("filter"), status = document.getElementById("status"), shown = document.getElementById("shown");

  function sift() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !((!status.value || row.dataset.status === status.value) && words.every((word) => text.includes(word)));
      count += row.hidden ? 0 : 1;
    }
    shown.textContent = count === rows.length ? `${count} rows` : `${count} of ${rows.length} rows`;
  }
  filter.addEventListener("input", sift);
  status.addEventListener("change", sift);

  // Empty cells come last whichever way the column is sorted.
  function compare(column, sign) {
    const key = (row) => row.cells[column].dataset.key ?? row.cells[column].textContent;
    return (a, b) => {
      const [left, right] = [key(a), key(b)];
      if (left === "" || right === "") return (left === "") - (right === "");
      const difference = Number(left) - Number(right);
      return sign * (Number.isNaN(difference) ? left.localeCompare(right) : difference);
    };
  }
  table.tHead.addEventListener("click", (event) => {
    const head = event.target.closest("th");
    if (!head) return;
    const up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    body.append(...rows.sort(compare(head.cellIndex, up ? 1 : -1)));
  });
})();
