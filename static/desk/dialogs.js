// A page that asks before it acts is shown as a dialog over the page one is on.
// Links and submit buttons marked data-dialog; without scripts they lead to that page itself.
const dialog = document.getElementById("dialog");

async function open(address) {
  const answer = await fetch(address, { headers: { "HX-Request": "true" } });
  if (!answer.ok || answer.redirected) {
    location.assign(address);
    return;
  }
  dialog.innerHTML = await answer.text();
  const title = dialog.querySelector("h2");
  if (title) {
    title.id = "dialog-title";
    dialog.setAttribute("aria-labelledby", title.id);
  }
  htmx.process(dialog);
  dialog.showModal();
}

function withSubmitter(form, submitter) {
  const address = new URL(submitter.getAttribute("formaction") ?? form.action, location.href);
  address.search = new URLSearchParams(new FormData(form, submitter));
  return address;
}

// A form with data-confirm="question" asks it first; the answer submits the form.
function ask(form, submitter) {
  const question = document.createElement("div");
  question.className = "in stack";
  const title = document.createElement("h2");
  title.id = "dialog-title";
  title.textContent = form.dataset.confirm;
  question.append(title);
  const foot = document.createElement("footer");
  const no = Object.assign(document.createElement("button"), { type: "button", className: "btn" });
  no.textContent = "Cancel";
  no.dataset.close = "";
  const yes = Object.assign(document.createElement("button"), { type: "button" });
  yes.className = "btn go";
  yes.textContent = submitter?.textContent.trim().replace(/…$/, "") || "Yes";
  yes.addEventListener("click", () => {
    form.dataset.confirmed = "";
    dialog.close();
    form.requestSubmit(submitter);
  });
  foot.append(no, yes);
  dialog.setAttribute("aria-labelledby", title.id);
  dialog.replaceChildren(question, foot);
  dialog.showModal();
}

function onSubmit(event) {
  const { target: form, submitter } = event;
  if (submitter?.hasAttribute("data-dialog")) {
    event.preventDefault();
    open(withSubmitter(form, submitter));
  } else if (form.dataset.confirm && !("confirmed" in form.dataset)) {
    event.preventDefault();
    ask(form, submitter);
  } else if (form.method === "post" && !event.defaultPrevented) {
    if ("sent" in form.dataset) event.preventDefault(); // a second click is not a second act
    form.dataset.sent = "";
  }
}

function onClick(event) {
  const link = event.target.closest("a[data-dialog]");
  if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    open(link.href);
  }
  if (event.target === dialog || event.target.closest("[data-close]")) dialog.close();
}

// A typed count unlocks the act: <input data-must-be="3">.
function onInput(event) {
  const wanted = event.target.dataset?.mustBe;
  if (wanted === undefined) return;
  const fits = event.target.value.trim() === wanted;
  event.target.setCustomValidity(fits ? "" : `Type ${wanted} to confirm`);
}

if (dialog) {
  document.addEventListener("submit", onSubmit);
  document.addEventListener("click", onClick);
  document.addEventListener("input", onInput);
  dialog.addEventListener("close", () => dialog.replaceChildren());
  addEventListener("pageshow", () => {
    for (const form of document.forms) {
      delete form.dataset.sent;
      delete form.dataset.confirmed;
    }
  });
}
