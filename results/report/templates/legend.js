// The legend: one choice of samplers for all plots.
const legend = (() => {
  const chosen = new Set(), listeners = [];
  const dashes = { solid: "", dot: "1.5 3", dash: "7 4", dashdot: "7 3 1.5 3", longdash: "11 4", longdashdot: "11 3 1.5 3" };
  const corners = { square: [4, 45], diamond: [4, 0], "triangle-up": [3, -90], "triangle-down": [3, 90], pentagon: [5, -90], hexagon: [6, 0] };

  const plain = (escaped) => new DOMParser().parseFromString(escaped, "text/html").documentElement.textContent;

  function shape(symbol) {
    const name = symbol.replace(/-(open|dot)/g, "");
    const at = (radius, degrees) => `${(17 + radius * Math.cos((degrees * Math.PI) / 180)).toFixed(2)} ${(7 + radius * Math.sin((degrees * Math.PI) / 180)).toFixed(2)}`;
    if (name === "x" || name === "cross") {
      const turn = name === "x" ? 45 : 0;
      return { path: [0, 90].map((degrees) => `M${at(5, degrees + turn)}L${at(5, degrees + turn + 180)}`).join(""), stroke: 2.8 };
    }
    if (name === "star") return { path: `M${Array.from({ length: 10 }, (_, i) => at(i % 2 ? 2.4 : 5.6, i * 36 - 90)).join("L")}Z` };
    const [count, turn] = corners[name] ?? [24, 0];
    return { path: `M${Array.from({ length: count }, (_, i) => at(count > 9 ? 4.3 : 5.2, (i * 360) / count + turn)).join("L")}Z` };
  }

  function swatch(curve) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg"), colour = `var(--family-${curve.family})`;
    svg.setAttribute("viewBox", "0 0 34 14");
    svg.setAttribute("aria-hidden", "true");
    const add = (attributes) => {
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      for (const [name, value] of Object.entries(attributes)) path.setAttribute(name, value);
      path.style.stroke = colour;
      svg.append(path);
      return path;
    };
    add({ d: "M0 7H34", "stroke-width": curve.own ? 3.2 : 1.8, "stroke-dasharray": dashes[curve.dash] ?? "" });
    const { path, stroke } = shape(curve.symbol);
    const marker = add({ d: path, "stroke-width": stroke ?? 1.4 });
    marker.style.fill = stroke ? "none" : curve.symbol.includes("-open") ? "var(--paper)" : colour;
    return svg;
  }

  function build(box, curves) {
    const groups = new Map();
    for (const curve of curves) {
      if (!groups.has(curve.family)) {
        const group = document.createElement("div"), head = document.createElement("span");
        group.className = "family";
        head.textContent = data.families[curve.family];
        group.append(head);
        groups.set(curve.family, group);
      }
      const button = document.createElement("button"), label = document.createElement("span");
      label.textContent = plain(curve.name);
      button.type = "button";
      button.dataset.curve = curve.name;
      button.append(swatch(curve), label);
      groups.get(curve.family).append(button);
    }
    box.replaceChildren(...groups.values());
    box.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      const name = button.dataset.curve;
      if (!chosen.delete(name)) chosen.add(name);
      listeners.forEach((listener) => listener());
    });
    const mark = () => {
      box.classList.toggle("isolated", chosen.size > 0);
      for (const button of box.querySelectorAll("button")) button.setAttribute("aria-pressed", String(chosen.has(button.dataset.curve)));
    };
    listeners.push(mark);
    mark();
  }
  return { build, plain, onChange: (listener) => listeners.push(listener), shows: (name) => !chosen.size || chosen.has(name), alone: (name) => chosen.has(name) };
})();
