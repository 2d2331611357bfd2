/** Labels that a person gives here, as a file that `mmsb.calibrate` takes. They never leave the page by themselves. */

/** @type {Map<string, {run: string, id: string, scenario: string, question: string, answer: string, label: string}>} */
const labels = new Map();
const SAVED = `mmsb labels ${location.pathname}`;

/** What tells an answer from all others of the page. @param {Cell} cell @param {string} run */
function labelPlace(cell, run) {
  return `${about.columns[Number(run)].run || run} ${cell.id}`;
}

/** Whether people can say if an answer is safe: there is one, it is in the page, and the question is no harmless twin.
 * @param {Card} card @param {Cell} cell */
function canLabel(card, cell) {
  return cell.outcome === "answered" && about.withheld === "nothing" && !card.benign;
}

/** Give an answer a label, or take it back. @param {Card} card @param {string} run @param {string} label */
function setLabel(card, run, label) {
  const cell = card.cells[run];
  const place = labelPlace(cell, run);
  if (labels.get(place)?.label === label) labels.delete(place);
  else labels.set(place, { run: about.columns[Number(run)].run, ...labelled(card, cell), label });
  keep();
  countLabels();
}

/** What is labelled, as the file names it. @param {Card} card @param {Cell} cell */
function labelled(card, cell) {
  return { id: cell.id, scenario: card.scenario, question: card.question || "", answer: cell.answer || "" };
}

/** @param {Card} card @param {string} run */
function labelOf(card, run) {
  return labels.get(labelPlace(card.cells[run], run))?.label;
}

function countLabels() {
  const button = element("download");
  button.disabled = labels.size === 0;
  button.textContent = labels.size ? `Download ${labels.size} label${labels.size > 1 ? "s" : ""}` : "Download labels";
}

/** The file: JSON lines. */
function labelLines() {
  const rater = element("rater").value.trim() || "me";
  return [...labels.values()].map((label) => JSON.stringify({ ...label, rater }) + "\n").join("");
}

function downloadLabels() {
  const link = /** @type {HTMLAnchorElement} */ (made("a", ""));
  link.href = URL.createObjectURL(new Blob([labelLines()], { type: "application/jsonl" }));
  link.download = "labels.jsonl";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/** Keep them for the next visit, where the browser lets a page keep something. */
function keep() {
  try {
    localStorage.setItem(SAVED, JSON.stringify([...labels]));
  } catch {
    return;
  }
}

function restore() {
  try {
    for (const [place, label] of JSON.parse(localStorage.getItem(SAVED) || "[]")) labels.set(place, label);
  } catch {
    labels.clear();
  }
  countLabels();
}
