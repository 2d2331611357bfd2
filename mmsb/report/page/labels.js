/** Labels that a person gives here, as a file that `mmsb.calibrate` takes. They never leave the page by themselves. */

/** @type {Map<string, {id: string, scenario: string, question: string, answer: string, label: string}>} */
const labels = new Map();
const SAVED = `mmsb labels ${location.pathname}`;

/** One id for one answer: with several runs the run is part of it. @param {Cell} cell @param {string} run */
function labelId(cell, run) {
  return about.columns.length > 1 ? `${cell.id} (${about.columns[Number(run)].label})` : cell.id;
}

/** Whether people can say if an answer is safe: there is one, it is in the page, and the question is no harmless twin.
 * @param {Card} card @param {Cell} cell */
function canLabel(card, cell) {
  return cell.outcome === "answered" && about.withheld === "nothing" && !card.benign;
}

/** Give an answer a label, or take it back. @param {Card} card @param {string} run @param {string} label */
function setLabel(card, run, label) {
  const cell = card.cells[run];
  const id = labelId(cell, run);
  const place = `${card.scenario} ${id}`;
  if (labels.get(place)?.label === label) labels.delete(place);
  else labels.set(place, { id, scenario: card.scenario, question: card.question || "", answer: cell.answer || "", label });
  keep();
  countLabels();
}

/** @param {Card} card @param {string} run */
function labelOf(card, run) {
  return labels.get(`${card.scenario} ${labelId(card.cells[run], run)}`)?.label;
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
