/** How far the runs are, asked of `mmsb.view` every two seconds.
 *
 * @typedef {{name: string, label: string, done: number, total: number | null, failed: number, unparsed: number,
 *   calls: number, tokens: number, dollars: number | null, unpriced: string[], rate: number | null, left: number | null, idle: number | null, finished: boolean,
 *   page: string}} Progress
 */

const EVERY = 2000; // milliseconds

/** @param {string} tag @param {string} text @param {string} [kind] */
function piece(tag, text, kind) {
  const found = document.createElement(tag);
  found.textContent = text;
  if (kind) found.className = kind;
  return found;
}

/** @param {number} seconds */
function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** @param {Progress} run */
function progressRow(run) {
  const row = document.createElement("tr");
  const name = document.createElement("th");
  name.scope = "row";
  if (document.body.hasAttribute("data-index")) {
    const link = document.createElement("a");
    link.textContent = run.name;
    link.href = run.page;
    name.append(link);
  } else name.textContent = run.label;
  const label = document.body.hasAttribute("data-index") ? [piece("td", run.label)] : [];
  const bar = document.createElement("progress");
  bar.max = run.total || Math.max(1, run.done);
  bar.value = run.done;
  bar.setAttribute("aria-label", `Progress of ${run.label}`);
  const far = piece("td", "");
  far.append(bar, ` ${run.done.toLocaleString("en")}${run.total ? ` of ${run.total.toLocaleString("en")}` : ""}`);
  const pace = run.finished ? "finished" : run.idle !== null && run.idle > 60 ? `nothing for ${duration(run.idle)}` : run.rate ? `${run.rate.toFixed(1)}/s` : "starting";
  const left = run.left === null || run.finished ? "" : `${duration(run.left)} left`;
  row.append(name, ...label, far, piece("td", pace), piece("td", left), number(run.failed), number(run.unparsed), number(run.calls), number(run.tokens), money(run));
  return row;
}

/** What the answers cost so far; nothing is free only because its price is not known. @param {Progress} run */
function money(run) {
  const rest = run.unpriced.length ? `no price for ${run.unpriced.join(", ")}` : "";
  const known = run.dollars === null ? "" : run.dollars > 0 && run.dollars < 0.01 ? "< $0.01" : `$${run.dollars.toFixed(2)}`;
  return piece("td", known && rest ? `${known}, ${rest}` : known || rest, "number");
}

/** @param {number} value */
function number(value) {
  return piece("td", value.toLocaleString("en"), "number");
}

let atFirst = -1;

async function progress() {
  const place = /** @type {HTMLElement} */ (document.getElementById("progress"));
  try {
    const answer = await fetch("status");
    /** @type {{runs: Progress[], older: number, unreadable: string[]}} */
    const { runs, older, unreadable } = await answer.json();
    const table = document.createElement("table");
    const head = document.createElement("tr");
    const titles = document.body.hasAttribute("data-index") ? ["", "run"] : ["run"];
    for (const title of [...titles, "samples", "rate", "", "failed", "unparsed", "calls", "tokens", "cost"]) head.append(piece("td", title));
    table.append(head, ...runs.map(progressRow));
    const done = runs.reduce((sum, run) => sum + run.done, 0);
    if (atFirst < 0) atFirst = done;
    place.replaceChildren(table);
    if (!runs.length) place.replaceChildren(...(unreadable.length ? [] : [piece("p", "No runs yet.")]));
    for (const why of unreadable) place.append(piece("p", `A run cannot be read: ${why}`, "hint"));
    if (older) place.append(piece("p", `${older} older runs are not listed.`, "hint"));
    if (done > atFirst && !document.body.hasAttribute("data-index")) {
      const again = piece("button", `${done - atFirst} new samples: show them`);
      again.onclick = () => location.reload();
      place.append(again);
    }
  } catch {
    place.replaceChildren(piece("p", "mmsb.view does not answer: it was ended, or the machine sleeps.", "hint"));
  }
  setTimeout(progress, EVERY);
}

progress();
