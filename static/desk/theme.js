// The choice of theme takes effect at once; the server keeps it with the operator.
const form = document.querySelector("[data-theme-form]");

async function choose(event) {
  event.preventDefault();
  const theme = event.submitter.value;
  const answer = await fetch(form.action, {
    method: "POST",
    body: new FormData(form, event.submitter),
    redirect: "manual",
  });
  if (!answer.ok && answer.type !== "opaqueredirect") {
    form.submit();
    return;
  }
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  for (const button of form.querySelectorAll("[name=theme]")) {
    button.setAttribute("aria-pressed", String(button.value === theme));
  }
  form.closest("details").open = false;
}

form?.addEventListener("submit", choose, { capture: true });
