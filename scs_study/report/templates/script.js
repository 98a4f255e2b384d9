"use strict";
// Sorting and filtering of tables; Escape closes what is enlarged. Without it the page lacks nothing else.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const value = (row) => row.cells[column].textContent.trim();
      const rows = [...body.rows].map((row) => [row, value(row), Number.parseFloat(value(row).replace("<", ""))]);
      rows.sort(([, a, x], [, b, y]) => {
        if (Number.isNaN(x) !== Number.isNaN(y)) return Number.isNaN(x) ? 1 : -1; // what is no number comes last
        return sign * (Number.isNaN(x) ? a.localeCompare(b, "en", { numeric: true }) : x - y);
      });
      body.append(...rows.map(([row]) => row));
    });
  });
  if (body.rows.length > 6) {
    const filter = document.createElement("input");
    filter.type = "search";
    filter.className = "filter";
    filter.placeholder = "show rows with …";
    filter.setAttribute("aria-label", "Show only rows with these words");
    filter.addEventListener("input", () => {
      const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of body.rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
      }
    });
    table.parentElement.before(filter);
  }
}
addEventListener("keydown", (event) => {
  if (event.key === "Escape") document.querySelector(".zoom:target .close")?.click();
});
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
