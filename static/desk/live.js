// A region that loads itself again keeps what the person did to it: open details, ticked rows,
// text typed so far, focus. It waits while a menu or dialog is open over it.
const isLive = (event) => event.detail.requestConfig?.headers?.["X-Live"] !== undefined;
const isBusy = () => document.querySelector("dialog[open], main details.menu[open]") !== null;
const waiting = new Set();

const isTyped = (node) =>
  node instanceof HTMLTextAreaElement ||
  (node instanceof HTMLInputElement && !["hidden", "checkbox", "radio"].includes(node.type));

const keep = (name, node) => name !== "value" || !isTyped(node);

function carryOver(before, after) {
  if (before instanceof Element && before.hasAttribute("data-stream-state")) return false;
  if (before instanceof HTMLDetailsElement) after.open = before.open;
  if (before instanceof HTMLInputElement && before.type === "checkbox") {
    after.checked = before.checked && before.value === after.value;
  }
  if (before instanceof HTMLDataElement && before.value !== after.value) {
    after.classList.add("changed");
  }
  return true;
}

if (window.Idiomorph) {
  Idiomorph.defaults.callbacks.beforeAttributeUpdated = keep;
  Idiomorph.defaults.callbacks.beforeNodeMorphed = carryOver;
}

document.addEventListener("htmx:beforeRequest", (event) => {
  if (isLive(event) && isBusy()) {
    event.preventDefault();
    waiting.add(event.detail.elt);
  }
});

function release() {
  if (isBusy()) return;
  for (const region of waiting) {
    waiting.delete(region);
    if (region.isConnected) htmx.trigger(region, "desk:again");
  }
}

document.addEventListener("toggle", release, { capture: true });
document.addEventListener("close", release, { capture: true });
