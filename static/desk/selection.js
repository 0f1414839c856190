// Ticked rows: how many, and what they add up to, exactly.
const boxes = () => [...document.querySelectorAll(".pick input[name=pick]")];
const bar = () => document.querySelector("[data-bulk]");

// Decimal text to an integer of 10^-places, so that nothing is lost in adding.
function scaled(text, places) {
  const [whole, part = ""] = text.split(".");
  return BigInt(whole + part.padEnd(places, "0"));
}

export function exactSum(amounts) {
  const places = Math.max(0, ...amounts.map((text) => text.split(".")[1]?.length ?? 0));
  const sum = amounts.reduce((total, text) => total + scaled(text, places), 0n);
  const digits = String(sum < 0n ? -sum : sum).padStart(places + 1, "0");
  const whole = digits.slice(0, digits.length - places).replace(/\B(?=(\d{3})+$)/g, ",");
  const part = places ? `.${digits.slice(-places)}` : "";
  return `${sum < 0n ? "\u2212" : ""}${whole}${part}`;
}

function tell() {
  const form = bar();
  if (!form) return;
  const all = boxes();
  const picked = all.filter((box) => box.checked);
  for (const box of all) box.closest("tr").classList.toggle("picked", box.checked);
  form.hidden = picked.length === 0;
  form.querySelector("[data-bulk-count]").textContent = `${picked.length} selected`;
  const amounts = picked.map((box) => box.dataset.amount).filter((text) => text !== undefined);
  form.querySelector("[data-bulk-total]").textContent =
    amounts.length > 0 ? `${exactSum(amounts)} ${form.dataset.unit ?? ""}` : "";
  const head = document.querySelector("[data-pick-all]");
  if (head) {
    head.checked = picked.length > 0 && picked.length === all.length;
    head.indeterminate = picked.length > 0 && picked.length < all.length;
  }
}

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-pick-all]")) {
    for (const box of boxes()) box.checked = event.target.checked;
  }
  if (event.target.closest(".pick")) tell();
});
document.addEventListener("reset", () => setTimeout(tell));
document.addEventListener("htmx:afterSettle", tell);
tell();
