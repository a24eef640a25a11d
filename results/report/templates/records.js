// The table as CSV: its rows in full, and the file for download.
const data = JSON.parse(document.getElementById("data").textContent);
const records = (() => {
  let lines = null;

  // Parse CSV (RFC 4180).
  function parse(text) {
    const rows = [];
    let row = [], field = "", quoted = false;
    for (let i = 0; i < text.length; i++) {
      const c = text[i];
      if (quoted) {
        if (c === '"' && text[i + 1] === '"') { field += c; i++; }
        else if (c === '"') quoted = false;
        else field += c;
      } else if (c === '"') quoted = true;
      else if (c === "," || c === "\n") {
        row.push(field);
        field = "";
        if (c === "\n") { rows.push(row); row = []; }
      } else field += c;
    }
    return rows;
  }

  const brief = (value) => (/^-?\d+\.\d{5,}(e[-+]\d+)?$/.test(value) ? String(Number(Number(value).toPrecision(5))) : value);

  // In the file, an apostrophe precedes a text that spreadsheets would take for a formula.
  const unguarded = (value) => value.replace(/^'(?='*[=+\-@\t\r])/, "");

  function open(index) {
    lines ??= parse(data.csv).map((line) => line.map(unguarded));
    const [names, ...rows] = lines, row = rows[index], dialog = document.getElementById("record");
    const get = (name) => row[names.indexOf(name)] ?? "";
    dialog.querySelector(".lead").textContent = [get("sampler"), get("model"), get("budget") && `${get("budget")} NFE`].filter(Boolean).join(" · ");
    dialog.querySelector("dl").replaceChildren(...names.flatMap((name, i) => {
      if (row[i] === "") return [];
      const line = document.createElement("div"), term = document.createElement("dt"), value = document.createElement("dd");
      term.textContent = name;
      value.textContent = brief(row[i]);
      value.title = row[i];
      line.append(term, value);
      return [line];
    }));
    dialog.showModal();
  }

  document.getElementById("download").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([data.csv], { type: "text/csv" }));
    link.download = "table.csv";
    link.click();
    URL.revokeObjectURL(link.href);
  });
  return { open };
})();
