// One stream per page. Its messages name what changed ("margin", "prices"); a region of the page
// that rests on it loads itself again. "beat 16:05:42 EST" comes every few seconds; when it does
// not, the page says within ten seconds that its numbers may be old, and tries again.
const SILENT_FOR_MS = 7_000;
const PAUSES = [1, 2, 4, 8, 15];

const strip = document.querySelector("[data-stream]");
const banner = document.getElementById("stale");
const shown = () => strip.querySelector("[data-stream-state]");
let source = null;
let heardAt = 0;
let lastBeat = strip?.querySelector("[data-stream-state] time")?.textContent ?? "";
let failures = 0;
let retryAt = 0;
let isPaused = false;
const missed = new Set();

function say(tone, icon, words) {
  const state = shown();
  if (state.dataset.words === words) return;
  state.dataset.words = words;
  const svg = state.querySelector("svg");
  const use = svg.querySelector("use");
  use.setAttribute("href", use.getAttribute("href").replace(/#.*/, `#i-${icon}`));
  state.className = tone;
  state.replaceChildren(svg, ` ${words}`);
}

function announce(topic) {
  if (isPaused) missed.add(topic);
  else document.body.dispatchEvent(new CustomEvent(`desk:${topic}`));
}

function hear(data) {
  heardAt = performance.now();
  const [topic, ...rest] = data.split(" ");
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

// Not an EventSource: that cannot say, as the desk's own loading does, that no person asked.
async function read(controller) {
  const headers = { Accept: "text/event-stream", "X-Live": "1" };
  const answer = await fetch(strip.dataset.stream, { headers, signal: controller.signal });
  if (!answer.ok || answer.redirected) throw new Error(`stream answered ${answer.status}`);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    lines.filter((line) => line.startsWith("data: ")).forEach((line) => hear(line.slice(6)));
  }
}

function connect() {
  const controller = new AbortController();
  source = controller;
  heardAt = performance.now();
  // An answer that ends and one that fails are the same to the page: it asks again.
  const end = () => source === controller && lose();
  read(controller).then(end, end);
}

function lose() {
  source?.abort();
  source = null;
  retryAt = performance.now() + PAUSES[Math.min(failures, PAUSES.length - 1)] * 1000;
  failures += 1;
}

function watch() {
  const now = performance.now();
  if (source && now - heardAt > SILENT_FOR_MS) {
    lose();
    failures = Math.max(failures, 2); // silence has been long enough to say so at once
  }
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
  addEventListener("pagehide", () => source?.abort());
  for (const button of document.querySelectorAll("[data-pause]")) {
    button.hidden = false;
    button.addEventListener("click", pause);
  }
}
