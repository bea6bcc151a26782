// Reads server-sent events from the text of an answer.

/** Splits the text of a stream, which grows, into events; comments are skipped. */
export class EventReader {
  #at = 0;

  /** The events that are complete since the last call. */
  read(text) {
    const events = [];
    for (let end = text.indexOf("\n\n", this.#at); end >= 0; end = text.indexOf("\n\n", this.#at)) {
      const lines = text.slice(this.#at, end).split("\n").filter((line) => line.startsWith("data:"));
      if (lines.length > 0) events.push(JSON.parse(lines.map((line) => line.slice(5).trimStart()).join("\n")));
      this.#at = end + 2;
    }
    return events;
  }
}
