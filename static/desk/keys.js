// Keyboard: / search, g and a letter to go, ? the list, j k x Enter e in a table, Esc to close.
// Single keys are off inside fields, and for whoever turned them off in the list of keys.
import { openCommands } from "./commands.js";
import { explainHere, moveRow, pickRow } from "./rows.js";

const WAIT_FOR_SECOND_KEY = 1200;
const SWITCH = "single-keys";
let goSince = -Infinity;

const inField = (target) => target.closest("input, select, textarea, [contenteditable]") !== null;
const isOn = () => localStorage.getItem(SWITCH) !== "off";

function go(letter) {
  document.querySelector(`.rail a[data-go="${CSS.escape(letter)}"]`)?.click();
}

function close() {
  const menu = document.querySelector("details.menu[open]");
  if (menu) {
    menu.open = false;
    menu.querySelector("summary").focus();
    return;
  }
  document.querySelector("[data-close-drawer]")?.click();
}

const ACTS = {
  "/": () => document.getElementById("search")?.focus(),
  "?": () => document.getElementById("keys")?.togglePopover(),
  j: () => moveRow(1),
  k: () => moveRow(-1),
  x: pickRow,
  e: explainHere,
};

function onKey(event) {
  if (event.defaultPrevented || event.isComposing || event.altKey) return;
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
    event.preventDefault();
    openCommands();
    return;
  }
  if (event.ctrlKey || event.metaKey) return;
  const isOverlaid = document.querySelector("dialog[open], [popover]:popover-open");
  if (event.key === "Escape" && !isOverlaid) {
    if (inField(event.target)) event.target.blur();
    else close();
    return;
  }
  if (!isOn() || inField(event.target) || (isOverlaid && event.key !== "?")) return;
  if (event.timeStamp - goSince < WAIT_FOR_SECOND_KEY) {
    goSince = -Infinity;
    go(event.key);
  } else if (event.key === "g") {
    goSince = event.timeStamp;
  } else if (Object.hasOwn(ACTS, event.key)) {
    event.preventDefault();
    ACTS[event.key]();
  }
}

document.addEventListener("keydown", onKey);

const choice = document.getElementById("single-keys");
if (choice) {
  choice.closest("[hidden]")?.removeAttribute("hidden");
  choice.checked = isOn();
  choice.addEventListener("change", () => {
    localStorage.setItem(SWITCH, choice.checked ? "on" : "off");
  });
}
