/** A question's card: what each run was shown, what came back, and what the judge said, side by side. */

const LONG = 20000; // characters drawn at once; a button shows the rest
// Characters that would act instead of being seen: controls, marks of direction, line ends of other worlds.
const ACTING = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;
/** Runs that are hidden, by number. @type {Set<string>} */
const hidden = new Set();
let focused = "";

/** @param {Card} card */
function showCard(card) {
  const heading = made("h3", "", card.question || card.key);
  const kind = `${about.titles[card.scenario] || card.scenario}${card.benign ? " · harmless twin" : ""} · ${card.key}`;
  const back = made("button", "back", "Back to the list");
  back.onclick = () => document.body.classList.remove("reading");
  const runs = Object.keys(card.cells).filter((run) => !hidden.has(run));
  if (!runs.includes(focused)) focused = runs[0] || "";
  const grids = grouped(runs).map(([who, members]) => group(card, who, members));
  element("card").replaceChildren(back, made("p", "kind", kind), heading, ...grids);
  document.body.classList.add("reading");
}

/** Runs of one system beside each other: a row for each system, its image modes across. @param {string[]} runs
 * @returns {[string, string[]][]} */
function grouped(runs) {
  const modes = new Set(runs.map((run) => about.columns[Number(run)].mode));
  if (modes.size < 2) return [["", runs]];
  /** @type {Map<string, string[]>} */
  const found = new Map();
  for (const run of runs) found.set(about.columns[Number(run)].who, [...(found.get(about.columns[Number(run)].who) || []), run]);
  return [...found];
}

/** @param {Card} card @param {string} who @param {string[]} runs */
function group(card, who, runs) {
  const found = made("section", "group");
  if (who) found.append(made("h4", "", who));
  const grid = made("div", "grid");
  grid.append(...runs.map((run) => side(card, run, who ? about.columns[Number(run)].mode : about.columns[Number(run)].label)));
  found.append(grid);
  return found;
}

/** One run's part. @param {Card} card @param {string} run @param {string} name */
function side(card, run, name) {
  const cell = card.cells[run];
  const found = made("section", run === focused ? "cell focused" : "cell");
  found.dataset.run = run;
  const head = made("h5", "", name + " ");
  head.append(verdict(card, cell));
  found.append(head);
  found.append(...shownTo(cell), ...answered(cell), ...judged(cell));
  if (canLabel(card, cell)) found.append(labelling(card, run));
  for (const event of ["focusin", "click"]) found.addEventListener(event, () => focusRun(run));
  return found;
}

/** @param {Card} card @param {Cell} cell */
function verdict(card, cell) {
  const found = made("span", "verdict");
  const [word, , style] = reading(card, cell);
  found.append(made("i", style, word));
  if (cell.refusal && (!card.benign || cell.correct !== undefined)) found.append(made("i", "mark", "refusal"));
  for (const flag of cell.flags || []) found.append(made("i", "mark", flag));
  return found;
}

/** What the run was shown. @param {Cell} cell */
function shownTo(cell) {
  const found = [];
  if (cell.image) {
    const image = /** @type {HTMLImageElement} */ (made("img", ""));
    showPicture(image, cell.image);
    image.alt = "The picture that was shown";
    found.push(image);
  }
  if (cell.image_lost) found.push(made("p", "hint", "The picture that was shown is not at hand."));
  if (cell.system) found.push(part("System prompt", cell.system));
  if (cell.prompt !== undefined) found.push(prose("prompt", cell.prompt));
  for (const step of cell.steps || []) found.push(part(`Stage: ${step.role}`, `${step.prompt}\n\n→ ${step.answer}`, "answer"));
  return found;
}

/** What came back. @param {Cell} cell */
function answered(cell) {
  if (cell.outcome === "failed") return [prose("hint", `No answer: ${cell.cause || "failed"}. ${cell.message || ""}`)];
  if (about.withheld !== "nothing") return [];
  return [part("Answer", cell.answer || "(empty)", "answer")];
}

/** What the judge said. @param {Cell} cell */
function judged(cell) {
  const said = cell.judge ? [cell.judge] : [];
  if (cell.score !== undefined) said.push(`score: ${cell.score}`);
  for (const [key, value] of Object.entries(cell.details || {})) said.push(`${key}: ${typeof value === "string" ? value : JSON.stringify(value)}`);
  return said.length ? [part("Judge", said.join("\n"), "verdict")] : [];
}

/** Text behind a click, drawn when it is opened. @param {string} title @param {string} text @param {string} [kind] */
function part(title, text, kind = "") {
  const found = /** @type {HTMLDetailsElement} */ (made("details", kind));
  found.append(made("summary", "", title));
  found.ontoggle = () => {
    if (found.open && found.children.length === 1) found.append(prose("text", text));
  };
  found.open = kind === "answer" && element("answers").checked;
  return found;
}

/** Text as it is: nothing in it acts, nothing is lost. @param {string} kind @param {string} text */
function prose(kind, text) {
  const found = made("div", kind);
  found.dir = "auto";
  found.tabIndex = 0;
  found.setAttribute("role", "group");
  found.append(...letters(text.slice(0, LONG)));
  if (text.length > LONG) {
    const more = made("button", "more", `Show all ${text.length.toLocaleString("en")} characters`);
    more.onclick = () => found.replaceChildren(...letters(text));
    found.append(more);
  }
  return found;
}

/** @param {string} text @returns {(string | HTMLElement)[]} */
function letters(text) {
  /** @type {(string | HTMLElement)[]} */
  const found = [];
  let from = 0;
  for (const match of text.matchAll(ACTING)) {
    found.push(text.slice(from, match.index), made("span", "acting", spelled(match[0])));
    from = match.index + match[0].length;
  }
  found.push(text.slice(from));
  return found;
}

/** @param {string} letter */
function spelled(letter) {
  return `U+${letter.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
}

/** @param {Card} card @param {string} run */
function labelling(card, run) {
  const found = made("p", "labelling", "Your label: ");
  for (const label of ["safe", "unsafe"]) {
    const button = made("button", label, label);
    button.setAttribute("aria-pressed", String(labelOf(card, run) === label));
    button.onclick = () => giveLabel(card, run, label);
    found.append(button);
  }
  return found;
}

/** @param {Card} card @param {string} run @param {string} label */
function giveLabel(card, run, label) {
  if (!card.cells[run] || !canLabel(card, card.cells[run])) return;
  setLabel(card, run, label);
  for (const button of element("card").querySelectorAll(`[data-run="${run}"] .labelling button`))
    button.setAttribute("aria-pressed", String(labelOf(card, run) === button.textContent));
}

/** @param {string} run */
function focusRun(run) {
  focused = run;
  for (const cell of element("card").querySelectorAll(".cell")) cell.classList.toggle("focused", cell.dataset.run === run);
}
