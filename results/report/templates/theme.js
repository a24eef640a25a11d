// Colours of the current theme, and the switch between themes.
const page = (() => {
  const root = document.documentElement, button = document.getElementById("theme"), listeners = [];
  const names = ["system", "light", "dark"];
  const probe = document.body.appendChild(Object.assign(document.createElement("span"), { hidden: true }));

  // The browser resolves light-dark(…) only in a property that uses the variable.
  function colour(name) {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  }
  const changed = () => listeners.forEach((listener) => listener());

  function show(name) {
    if (name === "system") delete root.dataset.theme;
    else root.dataset.theme = name;
    button.textContent = `Theme: ${name}`;
    changed();
  }
  button.addEventListener("click", () => show(names[(names.indexOf(root.dataset.theme ?? "system") + 1) % names.length]));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);

  // On paper the page is light, and so are its plots.
  let before = "system";
  addEventListener("beforeprint", () => { before = root.dataset.theme ?? "system"; show("light"); });
  addEventListener("afterprint", () => show(before));
  return { colour, onChange: (listener) => listeners.push(listener), font: getComputedStyle(document.body).fontFamily };
})();
