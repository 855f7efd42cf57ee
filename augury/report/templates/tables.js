// Tables whose header cells carry data-sort can be sorted by them, each group of rows by itself; without scripts they
// stay as they are.
for (const table of document.querySelectorAll("table.sortable")) {
  const headers = [...table.querySelectorAll("th[data-sort]")];
  for (const header of headers) {
    const column = header.cellIndex;
    const numeric = header.dataset.sort === "number";
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    header.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      // Numbers start with the largest, words with the first of the alphabet.
      const before = header.getAttribute("aria-sort");
      const descending = before === "none" ? numeric : before === "ascending";
      for (const other of headers) other.setAttribute("aria-sort", "none");
      header.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const value = (row) => row.cells[column].dataset.value;
      const compare = (a, b) => (numeric ? Number(a) - Number(b) : a.localeCompare(b));
      for (const body of table.tBodies) {
        const rows = [...body.rows].filter((row) => !row.classList.contains("group"));
        rows.sort((one, other) => {
          const a = value(one), b = value(other);
          if (a === "" || b === "") return (a === "") - (b === ""); // what has no value stays last
          return descending ? compare(b, a) : compare(a, b);
        });
        body.append(...rows);
      }
    });
  }
}
