// The tabs of the page (ARIA pattern "tabs"): a button per panel that has content; arrow keys, Home and End move.
// Other scripts open a tab with the event `iaca-open` (detail: id of the panel), and hear of it by `iaca-tab`.
const list = element.querySelector("[role=tablist]");
const tabs = props.value;
const tabOf = (id) => [...list.children].find((tab) => tab.getAttribute("aria-controls") === id);

function open(id, focus) {
  if (!tabOf(id)) return;
  for (const { id: other } of tabs) {
    const chosen = other === id, panel = document.getElementById(other);
    panel.setAttribute("role", "tabpanel");
    panel.setAttribute("aria-labelledby", `tab-${other}`);
    panel.classList.toggle("iaca-shown", chosen);
    tabOf(other).setAttribute("aria-selected", chosen);
    tabOf(other).tabIndex = chosen ? 0 : -1;
  }
  if (focus) tabOf(id).focus();
  history.replaceState(null, "", `#${id}`);  // a reload opens it again
  document.dispatchEvent(new CustomEvent("iaca-tab", { detail: id }));
}

function move(event) {
  const at = tabs.findIndex(({ id }) => id === event.target.getAttribute("aria-controls"));
  const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: tabs.length - 1 }[event.key];
  if (at < 0 || to === undefined) return;
  open(tabs[(to + tabs.length) % tabs.length].id, true);
  event.preventDefault();
}

function begin() {  // Gradio may add the panels after this script has run
  if (tabs.every(({ id }) => document.getElementById(id))) open(tabOf(location.hash.slice(1)) ? location.hash.slice(1) : tabs[0].id);
  else requestAnimationFrame(begin);
}

list.replaceChildren(...tabs.map(({ id, label }) => {
  const tab = Object.assign(document.createElement("button"), { type: "button", id: `tab-${id}`, textContent: label });
  tab.setAttribute("role", "tab");
  tab.setAttribute("aria-controls", id);
  return tab;
}));
list.addEventListener("click", (event) => open(event.target.getAttribute("aria-controls")));
list.addEventListener("keydown", move);
document.addEventListener("iaca-open", (event) => open(event.detail, true));
begin();
