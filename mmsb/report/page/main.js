/** Puts the tools to work. */

const KEYS = {
  j: () => choose(current + 1),
  k: () => choose(current - 1),
  "/": () => element("text").focus(),
  a: () => element("answers").click(),
  "[": () => nextRun(-1),
  "]": () => nextRun(1),
  s: () => shown[current] && giveLabel(shown[current], focused, "safe"),
  u: () => shown[current] && giveLabel(shown[current], focused, "unsafe"),
};
const MOVES = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };

/** @param {number} by */
function nextRun(by) {
  const cells = [...element("card").querySelectorAll(".cell")];
  const at = cells.findIndex((cell) => cell.dataset.run === focused);
  const next = cells[Math.max(0, Math.min(cells.length - 1, at + by))];
  if (!next) return;
  focusRun(next.dataset.run);
  next.scrollIntoView({ block: "nearest" });
}

/** @param {KeyboardEvent} event */
function pressed(event) {
  const typing = /** @type {HTMLElement} */ (event.target).matches("input:not([type=checkbox]), select, textarea");
  if (event.key === "Escape" && typing) element("list").focus();
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const act = KEYS[/** @type {"j"} */ (event.key)];
  const move = document.activeElement === element("list") ? MOVES[/** @type {"Home"} */ (event.key)] : undefined;
  if (!act && move === undefined) return;
  event.preventDefault();
  if (act) act();
  else choose(Math.max(0, Math.min(shown.length - 1, current + Number(move))));
}

function changed() {
  for (const key of SELECTS) state[key] = element(key).value;
  element("list").scrollTop = 0;
  writeAddress();
  refilter();
}

function fillTools() {
  const scenarios = Object.keys(about.titles).map((name) => new Option(about.titles[name], name));
  element("scenario").append(...scenarios);
  element("run").append(...about.columns.map((column, number) => new Option(column.label, String(number))));
  about.columns.forEach((column, number) => {
    const box = /** @type {HTMLInputElement} */ (made("input", ""));
    box.type = "checkbox";
    box.checked = true;
    box.onchange = () => {
      if (box.checked) hidden.delete(String(number));
      else hidden.add(String(number));
      if (shown[current]) showCard(shown[current]);
    };
    const label = made("label", "check");
    label.append(box, " ", column.label);
    element("runs").append(label);
  });
}

/** Show what the address names; else the first question, on screens that have room for list and card. */
function followAddress() {
  const at = shown.findIndex((card) => card.key === state.q);
  if (at >= 0 || !state.q) choose(Math.max(0, at));
  if (at < 0) document.body.classList.remove("reading");
}

function listen() {
  let waiting = 0;
  element("text").oninput = () => {
    clearTimeout(waiting);
    waiting = window.setTimeout(changed, 150);
  };
  for (const key of SELECTS.slice(1)) element(key).onchange = changed;
  element("answers").onchange = () => {
    for (const part of element("card").querySelectorAll("details.answer")) part.open = element("answers").checked;
  };
  element("blind").onchange = () => document.body.classList.toggle("blind", element("blind").checked);
  element("download").onclick = downloadLabels;
  element("list").onscroll = draw;
  window.onresize = draw;
  window.onhashchange = () => {
    if (!location.hash.startsWith("#q=")) return;
    readAddress();
    refilter();
    followAddress();
  };
  document.onkeydown = pressed;
}

fillTools();
readAddress();
restore();
listen();
load(refilter).then(
  () => {
    if (cards.length) followAddress();
    else element("card").replaceChildren(made("p", "", "There are no samples yet."));
    document.body.dataset.ready = "yes";
  },
  (error) => element("card").replaceChildren(made("p", "hint", `Some samples could not be loaded: ${error.message}`)),
);
