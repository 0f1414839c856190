// Ctrl K: every place of the rail and every act of this page, found by typing.
const dialog = document.getElementById("commands");
const search = document.getElementById("commands-search");
const list = document.getElementById("commands-list");

const PLACES = ".rail li a[href], .head .acts > :is(a[href], button), .head .acts details a[href]";

function wordsOf(target) {
  const words = target.cloneNode(true);
  for (const count of words.querySelectorAll(".count")) count.remove();
  const menu = target.closest("details")?.querySelector("summary").textContent;
  const whole = menu ? `${menu}: ${words.textContent}` : words.textContent;
  return whole.trim().replace(/\s+/g, " ");
}

function found() {
  return [...document.querySelectorAll(PLACES)]
    .filter((target) => !target.hidden)
    .map((target) => ({ target, words: wordsOf(target) }));
}

function show() {
  const wanted = search.value.trim().toLowerCase();
  const lines = found()
    .filter(({ words }) => words.toLowerCase().includes(wanted))
    .map(({ target, words }) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(target.querySelector("svg")?.cloneNode(true) ?? "", words);
      button.addEventListener("click", () => {
        dialog.close();
        target.click();
      });
      const item = document.createElement("li");
      item.append(button);
      return item;
    });
  list.replaceChildren(...lines);
}

export function openCommands() {
  if (!dialog || dialog.open) return;
  search.value = "";
  show();
  dialog.showModal();
  search.focus();
}

function step(event) {
  const buttons = [...list.querySelectorAll("button")];
  const at = buttons.indexOf(document.activeElement);
  if (event.key === "Enter" && at < 0) {
    event.preventDefault();
    buttons[0]?.click();
  } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    const next = at + (event.key === "ArrowDown" ? 1 : -1);
    (buttons[next] ?? search).focus();
  }
}

if (dialog) {
  search.addEventListener("input", show);
  dialog.addEventListener("keydown", step);
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
}
