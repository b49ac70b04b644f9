"use strict";

// A question and its answer.
const STATUS = { 2: "Invalid request", 3: "Refused by the provider", 4: "Not available now", 5: "Incomplete" };
const REASONS = {
  stop: "complete", length: "cut at the length limit", tool_calls: "calls a tool", content_filter: "cut by the content filter",
  refusal: "refused by the model", paused: "paused by the provider", incomplete: "not whole",
  unknown: "maybe not whole", until: "stop condition met", cancelled: "cancelled",
};
const WHOLE = ["stop", "tool_calls", "until"];
const MAX_SHOWN = 1_000_000;  // characters of an answer, and of its reasoning, that are drawn
const MAX_DRAWN = 32768;  // of them in one animation frame
const MAX_DRAWING = 0.5;  // of the time, so that the page answers its user

class Failure extends Error {
  constructor(message, status = 0) { super(message); this.status = status; }
}

class Turn {
  constructor(prompt) {
    this.prompt = prompt;
    this.element = document.getElementById("turn").content.firstElementChild.cloneNode(true);
    this.reset();
  }
  part(name) { return this.element.querySelector(`.${name}`); }
  get text() { return this.pieces.join(""); }

  // Forgets the answer, if there is one.
  reset() {
    this.abort = new AbortController();
    this.pieces = [];
    this.undrawn = "";   // text that arrived since the last drawing
    this.reasoning = "";  // likewise
    this.count = 0;      // events with text, about one per token
    this.startedAt = performance.now();
    this.firstAt = this.lastAt = 0;  // times of the first text and of the last; 0: there is no text yet
    this.usage = this.finish = this.failure = null;
    this.sources = new Map();  // the items of their list, by address
    this.stopped = this.done = this.ended = this.drawn = this.isCut = false;
    this.shown = this.reasoningShown = 0;  // characters drawn
    this.part("question").textContent = this.prompt;
    for (const name of ["failure", "copy", "again", "reasoning", "sources", "note", "editor"]) this.part(name).hidden = true;
    for (const name of ["reasoning", "sources"]) this.part(name).lastElementChild.textContent = "";
    this.part("note").textContent = this.part("model").textContent = "";
    const root = make("div");
    this.part("answer").replaceChildren(root);
    this.markdown = new Markdown(root);
  }

  // Sends the question, and shows the answer until its end.
  async ask(settings, messages) {
    this.part("answer").setAttribute("aria-busy", "true");
    this.part("model").textContent = settings.model ?? "";
    this.ticking = setInterval(() => this.showStatistics(), 250);
    this.showStatistics();
    announce("Waiting for the answer.");
    this.follow(true);
    const abort = this.abort;
    try {
      await this.read({ prompt: this.prompt, ...settings, ...(messages.length && { messages }) });
      if (!this.done) throw new Failure("The connection broke before the end of the answer.", 5);
    } catch (error) {
      if (!abort.signal.aborted) this.failure = error instanceof Failure ? error : new Failure(`Cannot reach the server (${error.message}).`, 4);
    }
    while (this.undrawn && !abort.signal.aborted) {
      this.flush();
      await new Promise((resolve) => setTimeout(resolve));
    }
    if (abort === this.abort) this.end();
  }
  async read(body) {
    const response = await fetch("chat/stream", {
      method: "POST",
      headers: headers({ "Content-Type": "application/json" }),
      body: JSON.stringify(body),
      signal: this.abort.signal,
    });
    if (!response.ok) throw await failureOf(response);
    const parser = new SseParser((event, data) => this.onEvent(event, data));
    const reader = response.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      parser.feed(value);
      if (this.failure) throw this.failure;
      if (this.done) { reader.cancel(); return; }
    }
  }
  stop() {
    this.stopped = true;
    this.abort.abort();
    this.end();
  }

  // Events of the server.
  onEvent(event, data) {
    if (event === "message" && data === "[DONE]") { this.done = true; return; }
    const value = JSON.parse(data);
    if (event === "message") this.add(value.content);
    else if (event === "reasoning") { this.reasoning += value.reasoning; this.draw(); }
    else if (event === "source") this.cite(value);
    else if (event === "note") this.note(value.note);
    else if (event === "usage") this.usage = value;
    else if (event === "finish") {
      this.finish = value;
      if (value.explanation) this.note(value.explanation);
    }
    else if (event === "error") this.failure = new Failure(value.message, value.status);
  }
  add(text) {
    this.lastAt = performance.now();
    this.firstAt ||= this.lastAt;
    this.count += 1;
    this.pieces.push(text);
    this.undrawn += text;
    this.draw();
  }
  cite({ url = "", title = "" }) {
    if (this.sources.has(url || title)) return;
    const link = anchor(url);
    const item = make("li");
    if (link) {
      link.append(title || url);
      item.append(link);
      if (title) item.append(make("small", link.hostname));
    } else item.append([title, url].filter(Boolean).join(" - "));
    this.sources.set(url || title, item);
    const follow = atEnd();
    this.part("sources").hidden = false;
    this.part("sources").lastElementChild.append(item);
    this.follow(follow);
  }
  note(text) {
    const follow = atEnd();
    const note = this.part("note");
    note.textContent += (note.textContent && "\n") + text;
    note.hidden = false;
    this.follow(follow);
  }

  // Drawing: text once per animation frame, statistics four times a second.
  draw() {
    if (this.scheduled) return;
    this.scheduled = true;
    const draw = () => {
      this.scheduled = false;
      const start = performance.now();
      if (!this.ended) this.flush();
      this.drawnAt = performance.now();
      this.restUntil = this.drawnAt + (this.drawnAt - start) * (1 / MAX_DRAWING - 1);
    };
    const rest = (this.restUntil ?? 0) - performance.now();
    if (document.hidden) setTimeout(draw, 100); else if (rest > 16) setTimeout(draw, rest); else requestAnimationFrame(draw);
  }
  flush() {
    const follow = atEnd();
    if (this.reasoning) {
      this.part("reasoning").hidden = false;
      const text = this.reasoning.slice(0, Math.min(MAX_DRAWN, MAX_SHOWN - this.reasoningShown));
      if (text) this.part("reasoning").lastElementChild.append(make("span", text));
      this.reasoningShown += text.length;
      this.reasoning = this.reasoningShown < MAX_SHOWN ? this.reasoning.slice(text.length) : "";
    }
    if (this.undrawn) this.drawText();
    if (this.undrawn || this.reasoning) this.draw();
    this.follow(follow);
  }
  drawText() {
    if (!this.drawn) { announce("Answering."); this.showStatistics(); }
    this.drawn = true;
    let size = Math.min(MAX_DRAWN, MAX_SHOWN - this.shown);
    if (/[\ud800-\udbff]/.test(this.undrawn.charAt(size - 1))) size += 1;
    const text = this.undrawn.slice(0, size);
    this.markdown.feed(text);
    this.markdown.render();
    this.shown += text.length;
    this.undrawn = this.undrawn.slice(text.length);
    if (this.shown >= MAX_SHOWN && this.undrawn) {
      if (!this.isCut) this.note("The answer is too long to be shown. Copy answer takes all of it.");
      this.isCut = true;
      this.undrawn = "";
    }
  }
  follow(atEnd) { if (atEnd) scrollTo(0, document.documentElement.scrollHeight); }
  showStatistics() {
    const now = performance.now();
    const [label, state] = this.state();
    this.part("reason").textContent = label;
    this.part("reason").dataset.state = state;
    this.part("first").textContent = this.firstAt ? `first token ${seconds(this.firstAt - this.startedAt)}` : this.ended ? "" : seconds(now - this.startedAt);
    const tokens = this.usage?.output_tokens ?? this.count;
    const elapsed = ((this.ended ? this.lastAt : now) - this.firstAt) / 1000;
    const rate = tokens > 1 && elapsed > 0.05 ? (tokens - 1) / elapsed : 0;
    this.part("rate").textContent = rate ? `${this.usage ? "" : "≈ "}${rate.toFixed(rate < 10 ? 1 : 0)} tokens/s` : "";
    this.part("count").textContent = this.usage ? `${this.usage.input_tokens} tokens in, ${tokens} out${dollars(this.usage.cost_usd)}` : "";
  }
  // Returns what to say of the answer, and its kind.
  state() {
    if (this.failure) return ["failed", "failed"];
    if (this.stopped) return ["stopped by you", "stopped"];
    if (!this.done) return [this.count ? "answering" : "waiting", "running"];
    const reason = this.finish?.reason ?? "stop";
    return [REASONS[reason] ?? "complete", WHOLE.includes(reason) || !(reason in REASONS) ? "complete" : "cut"];
  }
  end() {
    if (this.ended) return;
    this.ended = true;
    const follow = atEnd();
    clearInterval(this.ticking);
    this.flush();
    this.markdown.close();
    this.part("answer").setAttribute("aria-busy", "false");
    this.part("copy").hidden = !this.pieces.length;
    this.part("again").hidden = false;
    this.showStatistics();
    if (this.failure) {
      this.part("failure").hidden = false;
      this.part("failure").firstElementChild.textContent = `${STATUS[this.failure.status] || "Error"}: ${this.failure.message}`;
    } else announce(`The answer is ${this.state()[0]}.`);
    onEnd(this);
    this.follow(follow);
  }
}

// Whether the page is scrolled to its end; only then it follows the answer.
function atEnd() { return innerHeight + scrollY >= document.documentElement.scrollHeight - 48; }

function dollars(cost) { return cost == null ? "" : `, $${cost.toFixed(cost < 0.001 ? 6 : 4)}`; }

function seconds(ms) { return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 10000 ? 2 : 1)} s`; }
