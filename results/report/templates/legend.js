// The legend: one choice of samplers for all plots, in the colours of the names at the curves.
const legend = (() => {
  const chosen = new Set(), listeners = [];
  const plain = (escaped) => new DOMParser().parseFromString(escaped, "text/html").documentElement.textContent;

  function build(box, curves) {
    box.replaceChildren(...curves.map((curve) => {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: plain(curve.name) });
      button.dataset.curve = curve.name;
      button.style.setProperty("--family", `var(--family-${curve.family})`);
      return button;
    }));
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
