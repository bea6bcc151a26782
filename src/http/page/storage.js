// Settings that the browser keeps. A browser may forbid storage: then they last as long as the page.

const PREFIX = "halkspeech.";
const memory = new Map();

function area(kind) {
  try {
    return kind === "session" ? sessionStorage : localStorage;
  } catch {
    return null;
  }
}

/** The stored value, or `fallback`. */
export function load(name, fallback, kind = "local") {
  try {
    const text = area(kind)?.getItem(PREFIX + name) ?? memory.get(kind + name);
    return text === null || text === undefined ? fallback : JSON.parse(text);
  } catch {
    return fallback;
  }
}

/** Stores a value; `null` removes it. */
export function save(name, value, kind = "local") {
  if (value === null) memory.delete(kind + name);
  else memory.set(kind + name, JSON.stringify(value));
  try {
    if (value === null) area(kind)?.removeItem(PREFIX + name);
    else area(kind)?.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // Kept in memory.
  }
}

/** The API key: of this session, or the one that the user chose to keep. */
export const apiKey = () => load("key", null, "session") ?? load("key", "");

/** Sets the key for this session, and for later ones if `keep`. */
export function setApiKey(key, keep) {
  save("key", key || null, "session");
  save("key", keep && key ? key : null);
}

/** Whether the key outlives the session. */
export const isKeyKept = () => load("key", "") !== "";
