// Sorting, finding and choosing. Without this script the page reads the same, in its first order.
(() => {
  "use strict";
  const status = document.getElementById("status");
  const say = (text) => { status.textContent = text; };

  const number = (cell) => {
    const found = cell.textContent.replace(/,/g, "").replace(/\u2212/g, "-").match(/[-+]?\d+(\.\d+)?/);
    return found ? parseFloat(found[0]) : NaN;
  };
  const words = new Intl.Collator("en");

  const sort = (table, at, th) => {
    const up = th.getAttribute("aria-sort") === "ascending" ? false : true;
    const isText = th.classList.contains("t");
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row, i) => {
      const cell = row.cells[at];
      return { row, i, key: isText ? cell.textContent.trim() : number(cell) };
    });
    rows.sort((a, b) => {
      if (isText) return (up ? 1 : -1) * words.compare(a.key, b.key) || a.i - b.i;
      if (isNaN(a.key) || isNaN(b.key)) return isNaN(a.key) - isNaN(b.key) || a.i - b.i;
      return (up ? 1 : -1) * (a.key - b.key) || a.i - b.i;
    });
    body.append(...rows.map((r) => r.row));
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    th.setAttribute("aria-sort", up ? "ascending" : "descending");
    say(`Sorted by ${th.dataset.name}, ${up ? "ascending" : "descending"}`);
  };

  for (const table of document.querySelectorAll("table.sort")) {
    [...table.tHead.rows[0].cells].forEach((th, at) => {
      if (th.classList.contains("drawn")) return;
      const button = document.createElement("button");
      const label = document.createElement("u");
      button.type = "button";
      th.dataset.name = [...th.childNodes].filter((n) => !n.ariaHidden).map((n) => n.textContent).join("").trim();
      const drawn = [...th.children].filter((n) => n.ariaHidden);
      label.append(...[...th.childNodes].filter((n) => !drawn.includes(n)));
      button.append(label);
      button.addEventListener("click", () => sort(table, at, th));
      th.replaceChildren(button, ...drawn);
    });
  }

  for (const table of document.querySelectorAll("table.find")) {
    const rows = [...table.tBodies[0].rows];
    if (rows.length < 9) continue;
    const box = document.createElement("p");
    const label = document.createElement("label");
    const input = document.createElement("input");
    const count = document.createElement("span");
    box.className = "find-box";
    input.type = "search";
    input.placeholder = "name or tag";
    label.append("Find a language ", input);
    box.append(label, count);
    table.parentElement.before(box);
    const texts = new Map(rows.map((row) => [row, row.cells[0].textContent.toLowerCase()]));
    input.addEventListener("input", () => {
      const wanted = input.value.trim().toLowerCase();
      let shown = 0;
      for (const row of rows) {
        row.hidden = !texts.get(row).includes(wanted);
        shown += row.hidden ? 0 : 1;
      }
      count.textContent = wanted ? `${shown} of ${rows.length}` : "";
      say(wanted ? `${shown} of ${rows.length} languages` : "");
    });
  }

  const data = document.getElementById("shared");
  const which = document.getElementById("which");
  if (data && which) {
    const { labels, langs } = JSON.parse(data.textContent);
    const table = document.getElementById("matrix");
    const caption = table.caption;
    const pooled = table.tBodies[0].cloneNode(true);
    const about = caption.textContent;
    const line = (tag, i) => {
      const row = document.createElement("tr");
      const head = document.createElement("th");
      const counts = langs[tag].slice(i * labels.length, (i + 1) * labels.length);
      const total = counts.reduce((a, b) => a + b, 0);
      head.scope = "row";
      head.dir = "auto";
      head.textContent = labels[i];
      row.append(head);
      counts.forEach((n, j) => {
        const cell = row.insertCell();
        cell.className = i === j ? "hit" : "miss";
        cell.style.setProperty("--s", total ? n / total : 0);
        cell.textContent = n.toLocaleString("en");
      });
      row.insertCell().textContent = total.toLocaleString("en");
      return row;
    };
    which.closest(".js").hidden = false;
    which.addEventListener("change", () => {
      const body = which.value ? document.createElement("tbody") : pooled.cloneNode(true);
      if (which.value) body.append(...labels.map((_, i) => line(which.value, i)));
      table.tBodies[0].replaceWith(body);
      caption.textContent = about.replace("all languages pooled", which.value ? which.selectedOptions[0].textContent : "all languages pooled");
    });
  }

  for (const world of document.querySelectorAll(".world")) {
    const out = world.closest("figure").querySelector(".readout");
    const show = (event) => {
      const title = event.target.closest(".p")?.querySelector("title");
      if (title) out.textContent = title.textContent;
    };
    world.addEventListener("pointerover", show);
    world.addEventListener("click", show);
  }

  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const item of closed) item.open = true;
  });
  addEventListener("afterprint", () => { for (const item of closed) item.open = false; });
})();
