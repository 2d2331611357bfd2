/**
 * The samples: read from the page's own JSON blocks, or from scripts beside it, one after the other.
 *
 * @typedef {{role: string, prompt: string, answer: string}} Step
 * @typedef {{id: string, label: string, refusal?: boolean, comprehended?: boolean, correct?: number, score?: number, flags?: string[],
 *   outcome?: string, finish?: string, answer?: string, prompt?: string, system?: string, steps?: Step[], judge?: string,
 *   details?: Object<string, unknown>, cause?: string, message?: string, image?: string, image_lost?: boolean}} Cell
 * @typedef {{key: string, scenario: string, question?: string, benign?: boolean, marks: string[],
 *   cells: Object<string, Cell>}} Card
 * @typedef {{label: string, who: string, mode: string, facets: string[]}} Column
 */

/** @type {{withheld: string, titles: Object<string, string>, columns: Column[]}} */
const about = JSON.parse(element("about").textContent || "");
/** @type {Card[]} */
const cards = [];
/** Thumbnails inside the page, by file name. @type {Map<string, string>} */
const pictures = new Map();

/** @param {string} id @returns {any} the element, which the page has */
function element(id) {
  return document.getElementById(id);
}

/** A new element with classes and text; text is never markup. @param {string} tag @param {string} kind @param {string} [text] */
function made(tag, kind, text) {
  const found = document.createElement(tag);
  if (kind) found.className = kind;
  if (text !== undefined) found.textContent = text;
  return found;
}

/** What a chunk beside the page calls. @param {string} json */
function mmsbChunk(json) {
  for (const card of JSON.parse(json)) cards.push(card);
}

/** Load everything, and say each time some of it is there. @param {() => void} arrived */
async function load(arrived) {
  const tell = () => {
    arrived();
    if (cards.length && !performance.getEntriesByName("first lines").length) performance.mark("first lines");
  };
  for (const block of document.querySelectorAll("script.cards")) {
    mmsbChunk(block.textContent || "");
    block.remove();
  }
  tell();
  for (const block of document.querySelectorAll("script.file")) {
    await beside(JSON.parse(block.textContent || ""));
    tell();
  }
}

/** @param {string} file @returns {Promise<void>} */
function beside(file) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = file;
    script.onload = () => resolve();
    script.onerror = () => reject(new Error(`${file} is not beside the page`));
    document.head.append(script);
  });
}

/** Show a thumbnail; those inside the page come last in it, and may still be on their way.
 * @param {HTMLImageElement} image @param {string} name */
function showPicture(image, name) {
  if (!document.querySelector("script.file")) {
    for (const block of document.querySelectorAll("script.pictures")) {
      if (block.nextSibling === null && document.readyState === "loading") break; // only half of it is there
      for (const [key, value] of Object.entries(JSON.parse(block.textContent || ""))) pictures.set(key, String(value));
      block.remove();
    }
    const inside = pictures.get(name);
    if (inside) image.src = `data:image/webp;base64,${inside}`;
    else if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", () => showPicture(image, name));
  } else image.src = `pictures/${encodeURIComponent(name)}`;
}
