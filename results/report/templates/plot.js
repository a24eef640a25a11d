// The work-precision plots. Plotly is unpacked while the page can already be read.
(async () => {
  const colour = page.colour, FAINT = 0.12, MOST_NAMES = 20, LEADER = 24;

  // An interval that goes on below the plot has an error bar down to its lower edge, and an arrow there.
  const bars = (points, paint, zero, floor) => ({
    type: "data", symmetric: false, thickness: 1.2, width: 3, color: paint,
    array: points.y.map((y, i) => (points.limit[i] ? y - zero : points.high[i] === null ? 0 : points.high[i] - y)),
    arrayminus: points.y.map((y, i) => (points.low[i] === null ? 0 : y - Math.max(points.low[i], Math.min(floor, y)))),
  });

  const short = (value) => (value === null ? "–" : String(Number(value.toPrecision(3))));

  // A logarithmic axis has no 0: values that are not positive lie at its lower edge.
  const isZero = (points, i) => points.limit[i] || (points.y[i] === null && points.text[i] !== "–");
  const hasMark = (points, i) => points.y[i] !== null || isZero(points, i);

  // Labels at the points. Plotly interprets HTML there; names are escaped.
  function labels(curve, measure, works) {
    const { text, flagged } = curve.y[measure.name];
    return curve.row.map((_, i) => [
      `<b>${curve.name}</b>`,
      `${measure.title} ${text[i]}${flagged[i] ? " †" : ""}`,
      works.filter((work) => curve.x[work.name][i] !== null).map((work) => `${short(curve.x[work.name][i])} ${work.title.toLowerCase()}`).join(" · "),
    ].join("<br>"));
  }

  function arrowsOf(curve, measure, work, floor) {
    const { y, low } = curve.y[measure], paint = colour(`--family-${curve.family}`);
    return curve.x[work].filter((x, i) => legend.shows(curve.name) && x > 0 && y[i] !== null && low[i] !== null && low[i] < floor)
      .map((x) => ({ type: "path", path: "M-4,9 L4,9 L0,0 Z", xref: "x", xsizemode: "pixel", xanchor: x, yref: "paper", ysizemode: "pixel", yanchor: 0, fillcolor: paint, line: { width: 0 } }));
  }

  function traceOf(curve, measure, work, works, zero, floor) {
    const points = curve.y[measure.name], paint = colour(`--family-${curve.family}`), on = legend.shows(curve.name);
    return {
      type: "scatter", mode: "lines+markers", name: curve.name, x: curve.x[work], y: points.y.map((y, i) => (isZero(points, i) ? zero : y)), text: labels(curve, measure, works), customdata: curve.row,
      hovertemplate: "%{text}<extra></extra>", hoverinfo: on ? undefined : "skip", opacity: on ? 1 : FAINT, error_y: on ? bars(points, paint, zero, floor) : { visible: false },
      line: { color: paint, width: curve.own ? 3.6 : legend.alone(curve.name) || curve.main ? 2.8 : 1.3, dash: curve.dash },
      marker: { color: paint, size: curve.own ? 11 : curve.main ? 9 : 7, symbol: points.y.map((_, i) => (isZero(points, i) ? "triangle-down-open" : curve.symbol)), line: { color: curve.symbol.includes("-open") ? paint : colour("--paper"), width: 1 } },
    };
  }

  // Names right of the last points, at least a line apart, and lines to them: of the emphasised curves, and of the lowest others.
  function namesOf(curves, measure, work, zero, [low, high], height, size) {
    const gap = ((size + 2) / height) * (high - low);
    const ends = curves.filter((curve) => legend.shows(curve.name)).map((curve) => {
      const points = curve.y[measure], last = curve.x[work].findLastIndex((x, i) => x > 0 && hasMark(points, i));
      const end = isZero(points, last) ? zero : points.y[last];
      return { curve, end, x: curve.x[work][last], y: Math.log10(end) };
    });
    const named = ends.sort((a, b) => b.curve.main - a.curve.main || b.curve.own - a.curve.own || a.y - b.y).slice(0, MOST_NAMES).sort((a, b) => a.y - b.y);
    named.forEach((end, i) => { end.y = Math.max(end.y, i ? named[i - 1].y + gap : low); });
    for (let i = named.length - 1, top = high; i >= 0 && named[i].y > top; i--, top -= gap) named[i].y = top;
    const leaders = named.flatMap(({ curve, end, x, y }) => {
      const line = { color: colour(`--family-${curve.family}`), width: 1.2, dash: curve.dash === "dash" ? "5px,3px" : curve.dash };
      return [
        { type: "line", layer: "below", xref: "x", x0: x, x1: 1e3 * x, y0: end, y1: end, line: { color: line.color, width: 0.6 } },
        { type: "line", xref: "paper", xsizemode: "pixel", xanchor: 1, x0: 0, x1: LEADER, y0: end, y1: 10 ** y, line },
      ];
    });
    const words = named.map(({ curve, y }) => ({ xref: "paper", x: 1, xshift: LEADER + 4, y, text: curve.main ? `<b>${curve.label}</b>` : curve.label, font: { size, color: colour(`--family-${curve.family}`) }, showarrow: false, xanchor: "left", yanchor: "middle" }));
    return { words, leaders };
  }

  // Ticks at few whole-numbered values; else at 1, 2, 5 times powers of ten, at the powers alone, or at each nth power.
  function ticksOf(values, zero = null) {
    const known = [...new Set(values.filter((value) => value > 0))].sort((a, b) => a - b);
    if (!known.length) return {};
    if (zero === null && known.length <= 8 && known.every((value, i) => Number.isInteger(value) && (!i || value > 1.25 * known[i - 1]))) return { tickvals: known };
    const lowest = Math.min(...known), highest = Math.max(...known), from = Math.floor(Math.log10(lowest)), to = Math.ceil(Math.log10(highest));
    const ticks = [], every = Math.ceil((to - from) / 12) || 1;
    for (let power = Math.ceil(from / every) * every; power <= to; power += every) for (const digit of to - from > 4 ? [1] : [1, 2, 5]) ticks.push(digit * 10 ** power);
    const tickvals = ticks.filter((tick) => tick >= lowest / (zero === null ? 2 : 1.2) && tick <= highest * 2);
    const ticktext = tickvals.map((tick) => (tick >= 1e5 || tick < 1e-3 ? tick.toExponential(0) : String(Number(tick.toPrecision(1)))));
    return zero === null ? { tickvals, ticktext } : { tickvals: [zero, ...tickvals], ticktext: ["0", ...ticktext] };
  }

  // Lines below all points that fall as errors of orders 1, 2 and 3 do.
  function ordersOf(points, power) {
    const xs = points.map(([x]) => x), ys = points.map(([, y]) => y), [left, right] = [Math.min(...xs), Math.max(...xs)];
    const lowest = Math.min(...ys), room = Math.max(Math.max(...ys) / lowest, 10) ** 0.45, bottom = lowest / room;
    return [1, 2, 3].map((order) => {
      const slope = order * power, level = Math.min(...points.map(([x, y]) => y * x ** slope)) / room ** 0.12;
      const top = Math.min(level * left ** -slope, lowest * room), from = Math.max(left, (level / top) ** (1 / slope)), to = Math.min(right, (level / bottom) ** (1 / slope));
      return { type: "scatter", mode: "lines+text", x: [from, to], y: [level * from ** -slope, level * to ** -slope], text: ["", `order ${order}`], textposition: to < right ? "top right" : "bottom left", textfont: { size: 11, color: colour("--soft") }, hoverinfo: "skip", line: { color: colour("--soft"), width: 1, dash: "dot" } };
    });
  }

  // The median of the slopes between neighbouring points of a curve.
  function slopeOf(curve, measure, work) {
    const points = curve.x[work].map((x, i) => [x, curve.y[measure].y[i], curve.y[measure].limit[i]]).filter(([x, y, limit]) => x > 0 && y > 0 && !limit);
    const slopes = points.slice(1).map(([x, y], i) => Math.log(y / points[i][1]) / Math.log(x / points[i][0])).filter(Number.isFinite).sort((a, b) => a - b);
    return slopes.length ? (slopes[(slopes.length - 1) >> 1] + slopes[slopes.length >> 1]) / 2 : null;
  }

  function draw(figure) {
    const canvas = figure.querySelector(".canvas"), plot = data.plots[figure.dataset.plot];
    const chosen = (kind) => figure.querySelector(`[data-${kind}][aria-pressed="true"]`).dataset[kind];
    const measure = plot.measures.find((item) => item.name === chosen("measure")), work = plot.work.find((item) => item.name === chosen("work"));
    const drawable = plot.curves.filter((curve) => curve.y[measure.name].y.some((_, i) => hasMark(curve.y[measure.name], i) && curve.x[work.name][i] !== null));
    const ys = drawable.flatMap((curve) => curve.y[measure.name].y).filter((y) => y > 0), xs = drawable.flatMap((curve) => curve.x[work.name]).filter((x) => x > 0);
    const button = figure.querySelector(".orders"), points = drawable.flatMap((curve) => curve.x[work.name].map((x, i) => [x, isZero(curve.y[measure.name], i) ? 0 : curve.y[measure.name].y[i]])).filter(([x, y]) => x > 0 && y > 0);
    button.parentElement.hidden = !measure.power; // where the model's own error is in a measure, it falls like no order
    const orders = measure.power && button.getAttribute("aria-pressed") === "true" && points.length ? ordersOf(points, measure.power) : [];
    const isAnyZero = drawable.some((curve) => curve.row.some((_, i) => isZero(curve.y[measure.name], i))), zero = Math.min(...ys, ...orders.flatMap((line) => line.y)) / 2.5;
    const heights = [...ys, ...(isAnyZero ? [zero] : []), measure.floor, ...orders.flatMap((line) => line.y)].filter((y) => y > 0).map(Math.log10), narrow = canvas.clientWidth < 480;
    const axis = { type: "log", gridcolor: colour("--line"), linecolor: colour("--line"), zeroline: false, ticks: "outside", tickcolor: colour("--line") };
    const range = [Math.min(...heights) - 0.15, Math.max(...heights) + 0.15], floor = 10 ** range[0], size = narrow ? 10.5 : 12, margin = { l: narrow ? 46 : 64, t: 8, b: 46 };
    const { words: names, leaders } = namesOf(drawable, measure.name, work.name, zero, range, canvas.clientHeight - margin.t - margin.b, size);
    const longest = Math.max(0, ...names.map(({ text }) => legend.plain(text).length));
    const onTop = [...drawable].sort((a, b) => a.own - b.own || a.main - b.main); // the reader's own samplers last, which is above the others
    const traces = onTop.map((curve) => traceOf(curve, measure, work.name, plot.work, zero, floor));
    const line = measure.floor > 0 ? [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: measure.floor, y1: measure.floor, line: { color: colour("--ink"), width: 1.2, dash: "dash" } }] : [];
    if (work.name === "nfe" && plot.budget) line.push({ type: "line", yref: "paper", y0: 0, y1: 1, x0: plot.budget, x1: plot.budget, layer: "below", line: { color: colour("--soft"), width: 1, dash: "dot" } });
    const arrows = drawable.flatMap((curve) => arrowsOf(curve, measure.name, work.name, floor)), widths = xs.map(Math.log10);
    const [left, right] = [Math.min(...widths), Math.max(...widths)], pad = 0.04 * (right - left) || 0.3;
    const label = measure.floor > 0 ? [{ xref: "paper", x: 0, y: Math.log10(measure.floor), text: "noise of as many perfect samples", showarrow: false, xanchor: "left", yanchor: "bottom" }] : [];
    const layout = {
      shapes: [...line, ...leaders, ...arrows], annotations: [...label, ...names], paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, hovermode: "closest",
      font: { family: page.font, size: 13, color: colour("--ink") }, margin: { ...margin, r: 14 + LEADER + Math.min(longest, narrow ? 17 : 26) * size * 0.64 },
      xaxis: { ...axis, title: { text: work.title === "Evaluations" ? "Network evaluations per sample" : work.title, standoff: 8 }, ...ticksOf(xs), range: [left - pad, right + pad] },
      yaxis: { ...axis, title: narrow ? undefined : { text: measure.title, standoff: 8 }, ...ticksOf([...ys, measure.floor], isAnyZero ? zero : null), range },
      hoverlabel: { bgcolor: colour("--raised"), bordercolor: colour("--line"), font: { color: colour("--ink"), family: page.font, size: 12 }, align: "left" },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--soft"), activecolor: colour("--ink") },
    };
    figure.querySelector(".about").textContent = measure.caption;
    figure.querySelector(".down").textContent = arrows.length ? " (an arrow: it goes on below)" : "";
    figure.querySelector(".more").textContent = measure.note;
    const slopes = drawable.filter((curve) => legend.alone(curve.name)).map((curve) => [legend.plain(curve.name), slopeOf(curve, measure.name, work.name)]).filter(([, slope]) => slope !== null);
    figure.querySelector(".slopes").textContent = slopes.length ? `Median slope: ${slopes.map(([name, slope]) => `${name} ${slope.toFixed(2)}`).join(", ")}.` : "";
    const buttons = [["toImage", "zoom2d", "pan2d", "resetScale2d"]];
    return Plotly.react(canvas, [...orders, ...traces], layout, { responsive: true, displaylogo: false, modeBarButtons: buttons, toImageButtonOptions: { format: "svg", filename: `${measure.name}-${work.name}` } });
  }

  // The load event waits for the figures, so that headless browsers print them.
  // A picture that is requested repeatedly delays the event.
  const DOT = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA=", hold = new Image();
  let ready = false, asked = 0;
  hold.onload = hold.onerror = () => { if (!ready) hold.src = `${DOT}#${asked++}`; };

  async function unpack() {
    const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), (letter) => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
  }

  const figures = [...document.querySelectorAll("figure.plot")], drawn = new Set();
  function first(figure) {
    if (drawn.has(figure)) return;
    drawn.add(figure);
    draw(figure);
    figure.querySelector(".canvas").on("plotly_click", ({ points: [point] }) => point.customdata !== undefined && records.open(point.customdata));
  }
  const redraw = () => drawn.forEach(draw);
  const idle = window.requestIdleCallback ?? setTimeout;
  for (const figure of figures) legend.build(figure.querySelector(".legend"), data.plots[figure.dataset.plot].curves);
  if (figures.length) {
    hold.onload();
    await unpack();
  }
  for (const figure of figures) {
    figure.addEventListener("click", (event) => {
      const button = event.target.closest(".switch button");
      if (!button) return;
      if (button.matches(".orders")) button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
      else for (const other of button.parentElement.children) other.setAttribute("aria-pressed", String(other === button));
      draw(figure);
    });
    idle(() => first(figure));
  }
  addEventListener("beforeprint", () => figures.forEach(first));
  ready = true;
  legend.onChange(redraw);
  page.onChange(redraw);
})();
