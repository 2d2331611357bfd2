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
  return !state.text || holds(card, state.text.toLowerCase());
}

/** Whether a card holds a text, anywhere, in upper or lower case. @param {Card} card @param {string} text */
function holds(card, text) {
  if (has(card.question, text) || has(card.key, text)) return true;
  return Object.values(card.cells).some(
    (cell) =>
      has(cell.answer, text) || has(cell.prompt, text) || has(cell.system, text) || has(cell.judge, text) || has(cell.message, text) ||
      (cell.steps || []).some((step) => has(step.prompt, text) || has(step.answer, text)),
  );
}

/** @param {string | undefined} value @param {string} text */
function has(value, text) {
  return value !== undefined && value.toLowerCase().includes(text);
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
