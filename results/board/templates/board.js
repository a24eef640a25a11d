"use strict";
(() => {
{% include "theme.js" %}
{% include "sort.js" %}
// Filters of the board, and the number of samples that share a search.
(() => {
  const table = document.getElementById("board"), form = document.getElementById("filters");
  if (!table) return;
  const rows = [...table.tBodies[0].rows], shown = document.getElementById("shown"), production = document.getElementById("production");
  const words = form.querySelector("input"), selects = [...form.querySelectorAll("[data-of]")];
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  form.hidden = false;
  for (const select of selects) select.parentElement.hidden = select.options.length < 3; // nothing to choose
  production.parentElement.hidden = !table.querySelector("[data-at]");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) row.hidden = !(selects.every((select) => !select.value || row.dataset[select.dataset.of] === select.value) && wanted.every((word) => texts.get(row).includes(word)));
    const count = rows.filter((row) => !row.hidden).length;
    shown.textContent = count === rows.length ? `${count} solvers` : `${count} of ${rows.length} solvers`;
  });
  function spread() {
    for (const cell of table.querySelectorAll("[data-at]")) [cell.textContent, cell.dataset.key] = JSON.parse(cell.dataset.at)[production.selectedIndex];
    table.dispatchEvent(new Event("resort"));
  }
  production.addEventListener("change", spread);
  spread(); // a browser may remember the choice when it loads the page again
})();
})();
