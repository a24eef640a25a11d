// Tables that can be sorted, and the filters of the table of all rows.
(() => {
  // Empty cells come last whichever way the column is sorted.
  function compare(column, sign) {
    const key = (row) => row.cells[column].dataset.key ?? row.cells[column].textContent.trim();
    return (a, b) => {
      const [left, right] = [key(a), key(b)];
      if (left === "" || right === "") return (left === "") - (right === "");
      const difference = Number(left) - Number(right);
      return sign * (Number.isNaN(difference) ? left.localeCompare(right) : difference);
    };
  }
  for (const table of document.querySelectorAll("table.sortable")) {
    table.tHead.addEventListener("click", (event) => {
      const head = event.target.closest("th");
      if (!head) return;
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare(head.cellIndex, up ? 1 : -1)));
    });
  }

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
