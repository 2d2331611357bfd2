/** The list of questions: only the lines in view are in the document, whatever their number. */

const LINE = 44; // pixels, as in page.css
const MOST_LETTERS = 8; // that a line has room for
const LETTERS = { safe: "S", unsafe: "U", unparsed: "?", filtered: "F", failed: "!" };
/** @type {Card[]} */
let shown = [];
let current = -1;

/** Choose the questions that pass, and keep the chosen one if it is among them. */
function refilter() {
  const chosen = shown[current];
  readSearch();
  shown = cards.filter(passes);
  element("count").textContent = `${shown.length.toLocaleString("en")} of ${cards.length.toLocaleString("en")} questions.`;
  element("rows").style.height = `${shown.length * LINE}px`;
  current = chosen ? shown.indexOf(chosen) : -1;
  draw();
}

/** Draw the lines in view. */
function draw() {
  const list = element("list");
  const first = Math.max(0, Math.floor(list.scrollTop / LINE) - 5);
  const last = Math.min(shown.length, first + Math.ceil(list.clientHeight / LINE) + 10);
  const lines = [];
  for (let at = first; at < last; at += 1) lines.push(line(shown[at], at));
  element("rows").replaceChildren(...lines);
  if (current >= first && current < last) list.setAttribute("aria-activedescendant", `line-${current}`);
  else list.removeAttribute("aria-activedescendant");
}

/** @param {Card} card @param {number} at */
function line(card, at) {
  const found = made("div", "line");
  found.id = `line-${at}`;
  found.style.transform = `translateY(${at * LINE}px)`;
  found.setAttribute("role", "option");
  found.setAttribute("aria-selected", String(at === current));
  found.setAttribute("aria-posinset", String(at + 1));
  found.setAttribute("aria-setsize", String(shown.length));
  const words = made("span", "words");
  words.append(made("small", "", about.titles[card.scenario] || card.scenario), made("span", "question", card.question || card.key));
  found.append(words, chips(card));
  found.onclick = () => choose(at);
  return found;
}

/** What came of a question: the judge's verdict; for a harmless twin, where a refusal is the error, whether it was answered;
 * for a test question, whether it was answered rightly.
 * @param {Card} card @param {Cell} cell @returns {[string, string, string]} word, letter, style */
function reading(card, cell) {
  if (cell.correct !== undefined) return cell.correct === 1 ? ["right", "A", "safe"] : [cell.correct ? `right by ${cell.correct}` : "wrong", "W", "unsafe"];
  const rated = cell.label === "safe" || cell.label === "unsafe";
  if (card.benign && rated && cell.refusal !== undefined) return cell.refusal ? ["refused", "R", "unsafe"] : ["answered", "A", "safe"];
  return [cell.label, LETTERS[/** @type {"safe"} */ (cell.label)], cell.label];
}

/** The verdicts of all runs: a letter each, or where they are many, how many of each. @param {Card} card */
function chips(card) {
  const found = made("span", "chips verdict");
  if (about.columns.length > MOST_LETTERS) {
    /** @type {Map<string, number>} */
    const counts = new Map();
    for (const cell of Object.values(card.cells)) {
      const [, letter, style] = reading(card, cell);
      counts.set(`${style} ${letter}`, (counts.get(`${style} ${letter}`) || 0) + 1);
    }
    for (const [key, count] of counts) found.append(made("i", `${key.split(" ")[0]} count`, `${key.split(" ")[1]} ${count}`));
    return found;
  }
  about.columns.forEach((column, number) => {
    const cell = card.cells[number];
    const [word, letter, style] = cell ? reading(card, cell) : ["not asked", "·", "none"];
    const chip = made("i", style, letter);
    chip.title = `${column.label}: ${word}`;
    found.append(chip);
  });
  return found;
}

/** Show a question. @param {number} at */
function choose(at) {
  if (!shown.length) return;
  current = Math.max(0, Math.min(shown.length - 1, at));
  const list = element("list");
  if (current * LINE < list.scrollTop) list.scrollTop = current * LINE;
  if ((current + 1) * LINE > list.scrollTop + list.clientHeight) list.scrollTop = (current + 1) * LINE - list.clientHeight;
  state.q = shown[current].key;
  writeAddress();
  draw();
  showCard(shown[current]);
}
