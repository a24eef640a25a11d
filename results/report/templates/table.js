// Filters of the table of all rows.
(() => {
  const table = document.getElementById("listing"), rows = [...table.tBodies[0].rows];
  const filter = document.getElementById("filter"), shown = document.getElementById("shown");
  const selects = ["status", "verdict"].map((name) => document.getElementById(name)).filter(Boolean);
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));

  function sift() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const fits = selects.every((select) => !select.value || row.dataset[select.id] === select.value);
      row.hidden = !(fits && words.every((word) => texts.get(row).includes(word)));
      count += row.hidden ? 0 : 1;
    }
    shown.textContent = count === rows.length ? `${count} rows` : `${count} of ${rows.length} rows`;
  }
  filter.addEventListener("input", sift);
  for (const select of selects) select.addEventListener("change", sift);
  table.addEventListener("click", (event) => {
    const button = event.target.closest("button.row");
    if (button) records.open(Number(button.dataset.row));
  });
})();
