"use strict";

// Parser of Server-Sent Events (WHATWG HTML, 9.2.6): feed(bytes) calls onEvent(event, data) for each complete event. The
// bytes may be cut anywhere.
class SseParser {
  constructor(onEvent) {
    this.onEvent = onEvent;
    this.decoder = new TextDecoder();
    this.line = "";
    this.data = [];
    this.event = "";
    this.afterCr = false;
  }
  feed(bytes) {
    let text = this.decoder.decode(bytes, { stream: true });
    if (!text) return;
    const wasCr = this.afterCr;
    this.afterCr = text.endsWith("\r");
    if (wasCr && text[0] === "\n") text = text.slice(1);
    const lines = text.split(/\r\n|\n|\r/);
    const rest = lines.pop();
    for (const line of lines) {
      this.parseLine(this.line + line);
      this.line = "";
    }
    this.line += rest;
  }
  parseLine(line) {
    if (!line) {
      if (this.data.length) this.onEvent(this.event || "message", this.data.join("\n"));
      this.data = [];
      this.event = "";
      return;
    }
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
    if (name === "data") this.data.push(value);
    else if (name === "event") this.event = value;
  }
}
