// Tables that are sorted by a column on a click at its head, and once more on the event "resort".
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
    const heads = [...table.tHead.rows[0].cells], sort = (head) => table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare(head.cellIndex, head.getAttribute("aria-sort") === "ascending" ? 1 : -1)));
    table.tHead.addEventListener("click", (event) => {
      const head = event.target.closest("th");
      if (!head) return;
      const other = { ascending: "descending", descending: "ascending", none: head.dataset.first ?? "ascending" }[head.getAttribute("aria-sort") ?? "none"];
      for (const one of heads) one.setAttribute("aria-sort", one === head ? other : "none");
      sort(head);
    });
    table.addEventListener("resort", () => heads.filter((head) => head.getAttribute("aria-sort") !== "none").forEach(sort));
  }
})();
