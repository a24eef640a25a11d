// The page works without this script: style sheets read its radio buttons, and code can be selected.

// Both pickers of a number of evaluations and the row of the table are kept on the same number.
const picks = [...document.querySelectorAll(".linked input")], rows = [...document.querySelectorAll("[data-row]")];
function pick(value) {
  for (const one of picks) if (one.value === value) one.checked = true;
  for (const row of rows) row.classList.toggle("picked", row.dataset.row === value);
}
for (const one of picks) one.addEventListener("change", () => pick(one.value));
for (const row of rows) {
  row.addEventListener("click", (event) => { if (!event.target.closest("summary, a") && !getSelection().toString()) pick(row.dataset.row); });
  row.classList.add("pickable");
}
const chosen = picks.find((one) => one.checked);
if (chosen && rows.length > 1) pick(chosen.value);

function select(code) {
  const range = document.createRange();
  range.selectNodeContents(code);
  getSelection().removeAllRanges();
  getSelection().addRange(range);
}
for (const button of document.querySelectorAll(".copy")) {
  const code = button.parentElement.querySelector("code");
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch { // pages from a file may not write to the clipboard everywhere
      select(code);
      button.textContent = document.execCommand("copy") ? "Copied" : "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1600);
  });
}
