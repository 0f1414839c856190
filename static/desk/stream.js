// One stream per page. Its messages name what changed ("margin", "prices"); a region of the page
// that rests on it loads itself again. "beat 16:05:42 EST" comes every few seconds; when it does
// not, the page says that its numbers may be old, and tries again.
const SILENT_FOR_MS = 12_000;
const PAUSES = [1, 2, 4, 8, 15];

const strip = document.querySelector("[data-stream]");
const banner = document.getElementById("stale");
const shown = strip?.querySelector("[data-stream-state]");
let source = null;
let heardAt = 0;
let lastBeat = shown?.querySelector("time")?.textContent ?? "";
let failures = 0;
let retryAt = 0;
let isPaused = false;
const missed = new Set();

function say(tone, icon, words) {
  if (shown.dataset.words === words) return;
  shown.dataset.words = words;
  const use = shown.querySelector("use");
  use.setAttribute("href", use.getAttribute("href").replace(/#.*/, `#i-${icon}`));
  shown.className = tone;
  shown.replaceChildren(shown.querySelector("svg"), ` ${words}`);
}

function announce(topic) {
  if (isPaused) missed.add(topic);
  else document.body.dispatchEvent(new CustomEvent(`desk:${topic}`));
}

function onMessage(event) {
  heardAt = performance.now();
  const [topic, ...rest] = event.data.split(" ");
  if (topic !== "beat") {
    announce(topic);
    return;
  }
  lastBeat = rest.join(" ");
  if (failures > 0) {
    failures = 0;
    announce("again");
  }
  banner.hidden = true;
  if (isPaused) say("t-watch", "pause", `Paused ${lastBeat}`);
  else say("t-ok", "live", `Live ${lastBeat}`);
}

function connect() {
  source = new EventSource(strip.dataset.stream);
  heardAt = performance.now();
  source.addEventListener("message", onMessage);
  source.addEventListener("error", lose);
}

function lose() {
  source?.close();
  source = null;
  retryAt = performance.now() + PAUSES[Math.min(failures, PAUSES.length - 1)] * 1000;
  failures += 1;
}

function watch() {
  const now = performance.now();
  if (source && now - heardAt > SILENT_FOR_MS) lose();
  if (source) return;
  const left = Math.max(0, Math.ceil((retryAt - now) / 1000));
  if (failures > 1) {
    banner.querySelector("[data-stale-since]").textContent = lastBeat;
    banner.querySelector("[data-stale-retry]").textContent =
      left > 0 ? `Trying again in ${left} s.` : "Trying again.";
    banner.hidden = false;
    say("t-call", "nolive", `Stale since ${lastBeat}`);
  }
  if (left === 0) connect();
}

function pause(event) {
  isPaused = !isPaused;
  event.currentTarget.setAttribute("aria-pressed", String(isPaused));
  if (isPaused) {
    say("t-watch", "pause", `Paused ${lastBeat}`);
    return;
  }
  for (const topic of missed) announce(topic);
  missed.clear();
}

if (strip) {
  connect();
  setInterval(watch, 1000);
  addEventListener("pagehide", () => source?.close());
  for (const button of document.querySelectorAll("[data-pause]")) {
    button.hidden = false;
    button.addEventListener("click", pause);
  }
}
