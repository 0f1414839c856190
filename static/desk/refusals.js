// What the server refuses is swapped into #notice; what it could not answer is said there too.
const notice = document.getElementById("notice");

function say(title, words) {
  const note = document.createElement("div");
  note.className = "note liq";
  note.setAttribute("role", "alert");
  const text = document.createElement("div");
  const bold = document.createElement("b");
  bold.textContent = title;
  text.append(bold, ` ${words}`);
  note.append(text);
  notice.replaceChildren(note);
}

if (notice) {
  document.addEventListener("htmx:sendError", () => {
    say("Not sent: the server did not answer.", "Nothing you typed is lost. Try again.");
  });
  document.addEventListener("htmx:responseError", (event) => {
    const { status } = event.detail.xhr;
    const id = event.detail.xhr.getResponseHeader("X-Request-ID") ?? "none";
    if (status >= 500) say("Not answered.", `The fault is in the log under request ${id}.`);
    notice.scrollIntoView({ block: "nearest" });
  });
}
