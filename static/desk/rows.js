// The row a person is at: j and k move from row to row, x selects, e opens the explanation.
const rows = () => [...document.querySelectorAll("main table tbody tr:has(a[href])")];
const here = () => document.activeElement?.closest("main table tbody tr") ?? null;

export function moveRow(step) {
  const all = rows();
  if (all.length === 0) return;
  const at = all.indexOf(here());
  const next = at < 0 ? (step > 0 ? 0 : all.length - 1) : at + step;
  const row = all[Math.min(Math.max(next, 0), all.length - 1)];
  (row.querySelector("th[scope=row] a[href]") ?? row.querySelector("a[href]")).focus();
  row.scrollIntoView({ block: "nearest" });
}

export function pickRow() {
  here()?.querySelector(".pick input[type=checkbox]")?.click();
}

export function explainHere() {
  (here() ?? document.getElementById("main"))?.querySelector("a.why")?.click();
}
