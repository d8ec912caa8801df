// The choice between the page's model and the one that was adapted to this browser's annotations.
// The event `iaca-model` (detail: { name, label, caveat, chosen }, or null for none) says which there is.
let adapted = null;

function draw() {
  const box = element.querySelector(".iaca-choice"), select = element.querySelector("select");
  box.hidden = !adapted;
  if (!adapted) return;
  select.replaceChildren(new Option("the one above", ""), new Option(`${adapted.label} to your clips`, adapted.name));
  select.value = props.value.chosen;
  element.querySelector(".note").textContent = props.value.chosen ? adapted.caveat : "";
}

function choose(name) {
  props.value = { chosen: name };
  draw();
}

document.addEventListener("iaca-model", (event) => {
  adapted = event.detail;
  const known = adapted && (adapted.chosen || props.value.chosen) ? adapted.name : "";
  choose(known);
});
element.addEventListener("change", (event) => choose(event.target.value));
watch("value", draw);
draw();
