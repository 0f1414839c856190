// A slider says at once where it stands; what that does to the scope comes from the server.
function words(slider, unit) {
  const value = Number(slider.value);
  const isVolatility = slider.name.startsWith("v.");
  if (isVolatility && value === 0) return "as it is";
  const digits = Math.abs(value).toLocaleString("en-US");
  const sign = value < 0 ? "\u2212" : value > 0 && !isVolatility ? "+" : "";
  return `${sign}${digits}\u00a0${unit}`;
}

document.addEventListener("input", (event) => {
  const slider = event.target;
  if (slider.type !== "range" || !slider.closest("[data-sliders]")) return;
  const output = slider.parentElement.querySelector("output");
  const said = words(slider, output.dataset.unit);
  output.textContent = said;
  slider.setAttribute("aria-valuetext", said);
});
