/** Which questions are shown: the state of the tools, kept in the address so that a link leads to the same view. */

/** @type {Object<string, string>} */
const state = { q: "", text: "", scenario: "", verdict: "", run: "", mark: "" };
const SELECTS = ["text", "scenario", "verdict", "run", "mark"];

/** @param {Card} card */
function passes(card) {
  if (state.scenario && card.scenario !== state.scenario) return false;
  if (state.mark && !(state.mark === "benign" ? card.benign : card.marks.includes(state.mark))) return false;
  if (state.verdict && !Object.entries(card.cells).some(([run, cell]) => cell.label === state.verdict && (!state.run || run === state.run))) return false;
  if (!state.verdict && state.run && !(state.run in card.cells)) return false;
  return !wanted || holds(card, wanted);
}

/** The text that is searched, in upper or lower case: a pattern is faster than a lower-case copy of every text.
 * @type {RegExp | null} */
let wanted = null;

function readSearch() {
  wanted = state.text ? new RegExp(state.text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "i") : null;
}

/** Whether a card holds what is searched, anywhere. @param {Card} card @param {RegExp} text */
function holds(card, text) {
  if (text.test(card.question || "") || text.test(card.key)) return true;
  return Object.values(card.cells).some(
    (cell) =>
      [cell.answer, cell.prompt, cell.system, cell.judge, cell.message].some((value) => value !== undefined && text.test(value)) ||
      (cell.steps || []).some((step) => text.test(step.prompt) || text.test(step.answer)),
  );
}

/** Take the state from the address. */
function readAddress() {
  const given = new URLSearchParams(location.hash.startsWith("#q=") || location.hash.includes("&") ? location.hash.slice(1) : "");
  for (const key of Object.keys(state)) state[key] = given.get(key) || "";
  for (const key of SELECTS) element(key).value = state[key];
}

/** Put the state into the address; where a frame forbids it, the view works without. */
function writeAddress() {
  const kept = Object.entries(state).filter(([key, value]) => value || key === "q");
  try {
    history.replaceState(null, "", "#" + new URLSearchParams(kept));
  } catch {
    return;
  }
}
