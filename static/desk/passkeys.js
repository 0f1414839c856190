// A form marked data-passkey asks the browser for a passkey, then goes off with what it said.
// The options come with the page, in data-options; what comes back is checked by the server.
async function answer(form) {
  const options = JSON.parse(form.dataset.options);
  const key = window.PublicKeyCredential;
  if (!key?.parseCreationOptionsFromJSON) throw new Error("This browser has no passkeys here.");
  return form.dataset.passkey === "create"
    ? navigator.credentials.create({ publicKey: key.parseCreationOptionsFromJSON(options) })
    : navigator.credentials.get({ publicKey: key.parseRequestOptionsFromJSON(options) });
}

async function onSubmit(event) {
  const form = event.target;
  if (!form.dataset?.passkey || form.credential.value) return;
  event.preventDefault();
  event.stopImmediatePropagation(); // not sent yet, so not the first of two clicks either
  try {
    form.credential.value = JSON.stringify((await answer(form)).toJSON());
    form.submit();
  } catch (refused) {
    form.querySelector("[data-passkey-says]").textContent = `Not done: ${refused.message}`;
  }
}

document.addEventListener("submit", onSubmit, true);
