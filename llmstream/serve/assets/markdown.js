"use strict";

// Markdown as it streams. markdown-it parses; the elements are made here from its tokens, of the kinds below and no
// others, and text is inserted as text: nothing that a model writes is ever parsed as HTML.
//
// The source from the last block on is parsed anew for each frame, and only what differs is changed in the page: earlier
// blocks are finished, and never touched again. Text is rendered as soon as what follows cannot change it.
const MAX_OPEN = 8192;  // characters of a block; a longer one goes on in another element
const MAX_UNDECIDED = 400;  // characters of a line whose kind is still open
const MAX_NESTING = 40;  // quotes, lists and items in each other; a block beyond it is shown as text
const ELEMENTS = new Set(["p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "table", "thead", "tbody",
  "tr", "th", "td", "em", "strong", "s"]);
const NEWLINE = /\r\n|\n|\r/g;

const parser = markdownit({ html: false, linkify: true, maxNesting: MAX_NESTING });
// Underlines of headings and definitions of references would change what is shown already.
parser.disable(["lheading", "reference"]);
parser.linkify.set({ fuzzyLink: false, fuzzyEmail: false, fuzzyIP: false });
for (const schema of ["ftp:", "mailto:", "//"]) parser.linkify.add(schema, null);
parser.validateLink = (url) => urlOf(url) !== null;
parser.normalizeLink = (url) => url;
parser.core.ruler.before("inline", "hold", (state) => {
  if (state.env.open) hold(state.tokens, /[\n\r]$/.test(state.src));
});

// Turns blocks that are nested too deeply, whose inside is not parsed, into paragraphs of their source.
parser.core.ruler.after("block", "shallow", (state) => {
  if (!state.tokens.some(isTooDeep)) return;
  const lines = state.src.split("\n"), tokens = [];
  for (let from = 0, to = 0; from < state.tokens.length; from = to) {
    do to += 1; while (to < state.tokens.length && (state.tokens[to].level || state.tokens[to].nesting < 0));
    const block = state.tokens.slice(from, to);
    if (!block.some(isTooDeep)) { tokens.push(...block); continue; }
    const open = new state.Token("paragraph_open", "p", 1), inline = new state.Token("inline", "", 0);
    open.map = block[0].map;
    Object.assign(inline, { level: 1, children: [], content: lines.slice(...open.map).join("\n") });
    tokens.push(open, inline, new state.Token("paragraph_close", "p", -1));
  }
  state.tokens = tokens;
});

function isTooDeep({ level, nesting }) { return nesting > 0 && level >= MAX_NESTING - 1; }

function make(name, ...children) {
  const element = document.createElement(name);
  element.append(...children);
  return element;
}

// Returns a URL of the web, or null.
function urlOf(text) {
  let url;
  try { url = new URL(text); } catch { return null; }
  return /^https?:$/.test(url.protocol) ? url : null;
}

function anchor(text) {
  const url = urlOf(text);
  if (!url) return null;
  const link = make("a");
  link.href = url.href;
  link.rel = "noopener noreferrer nofollow";
  link.target = "_blank";
  return link;
}

// Returns the text without the end of it whose block is not certain: the first characters of a line ("-", "1", "```"), and
// the first line of what may become a table.
function decided(text) {
  const from = Math.max(text.lastIndexOf("\n"), text.lastIndexOf("\r")) + 1;
  const line = text.slice(from);
  if (line.length <= MAX_UNDECIDED) {
    const rest = line.replace(/^(?: *(?:>|(?:[-*+]|\d{1,9}[.)]) (?=\s*\S)))+/, "");
    if (/^\s*(?:#{1,6}|[-*+_|:][-*+_|: ]*|\d{1,9}[.)]?|`{1,2}|`{3,}[^`]*|~{1,2}|~{3,}.*)?\s*$/.test(rest)) text = text.slice(0, from);
  }
  const [, before, last] = text.match(/(?:^|([^\n]*)\n)([^\n]*)\n?$/);
  const mayBeHead = /^[\s>]*\|/.test(last) && !/^[\s>]*\|/.test(before ?? "") && last.length <= MAX_UNDECIDED;
  return mayBeHead ? text.slice(0, text.length - last.length - text.endsWith("\n")) : text;
}

// Splits the text of the open block: what may change its meaning is shown as it stands, behind the rest.
function hold(tokens, lineIsComplete) {
  const index = tokens.findLastIndex((token) => token.type === "inline" && token.content);
  const isOpen = tokens.slice(index + 1).every((token) => token.nesting < 0 || /^(?:td|th)_open$|^inline$/.test(token.type));
  if (index < 0 || !isOpen) return;
  const token = tokens[index];
  const end = certain(token.content, lineIsComplete);
  token.meta = { raw: token.content.slice(end).replace(/\]\([^()\s]*$/, "]") };  // without the address that is arriving
  token.content = token.content.slice(0, end);
}

// Returns how many characters of a text mean the same whatever follows: not those behind a backtick or a bracket that is
// open, and not a run of marks at the end.
function certain(text, lineIsComplete) {
  const marks = /\\[^]|(`+)|[[\]]/g;
  let depth = 0, bracket = 0;
  for (let match; (match = marks.exec(text));) {
    if (match[1]) {
      const end = closing(text, match[1], marks.lastIndex);
      if (end < 0) return depth ? bracket : match.index;
      marks.lastIndex = end;
    } else if (match[0] === "[") {
      if (!depth) bracket = match.index;
      depth += 1;
    } else if (match[0] === "]" && depth) {
      depth -= 1;
      const next = text[match.index + 1];
      if (!depth && (next === undefined || (next === "(" && text.indexOf(")", match.index) < 0))) return bracket;
    }
  }
  if (depth) return bracket;
  return lineIsComplete ? text.length : text.length - text.match(/[*_~\\!]*$/)[0].length;
}

// Returns the end of the run of backticks that closes one, or -1; a run at the end of the text may still grow.
function closing(text, ticks, from) {
  const runs = /`+/g;
  runs.lastIndex = from;
  for (let match; (match = runs.exec(text));) {
    if (match[0].length === ticks.length && runs.lastIndex < text.length) return runs.lastIndex;
  }
  return -1;
}

// Makes the children of an element those that are asked for one by one, and changes only what differs.
class Children {
  constructor(parent, last = null) {
    this.parent = parent;
    this.last = last;  // the last child that is in place
    this.pending = "";  // text to come behind it
  }
  get next() { return this.last ? this.last.nextSibling : this.parent.firstChild; }
  text(text) { this.pending += text; }
  flush() {
    if (!this.pending) return;
    const node = this.next, text = this.pending;
    this.pending = "";
    if (node?.nodeType !== Node.TEXT_NODE) this.place(document.createTextNode(text));
    else {
      if (text.startsWith(node.data)) { if (text.length > node.data.length) node.appendData(text.slice(node.data.length)); }
      else node.data = text;
      this.last = node;
    }
  }
  // Returns the next child: the one that is there if it is of that kind, else what `create` returns.
  element(kind, create = () => make(kind)) {
    this.flush();
    if (this.next?.kind === kind) this.last = this.next;
    else { this.place(create()); this.last.kind = kind; }
    return this.last;
  }
  place(node) {
    if (this.next) this.next.replaceWith(node); else this.parent.append(node);
    this.last = node;
  }
  end() {
    this.flush();
    while (this.next) this.next.remove();
  }
}

// Makes the children of an element what the tokens say.
function show(tokens, children) {
  const stack = [];
  const enter = (element) => { stack.push(children); children = new Children(element); };
  const leave = () => { children.end(); children = stack.pop(); };
  for (const token of tokens) {
    if (token.type === "inline") {
      show(token.children, children);
      if (token.meta) children.text(token.meta.raw);
    } else if (token.nesting < 0) {
      leave();
      if (token.tag === "table") leave();
    } else if (token.type === "link_open") {
      enter(link(token.attrGet("href"), children));
    } else if (token.nesting > 0 && ELEMENTS.has(token.tag)) {
      if (token.tag === "table") {
        const scroller = children.element("div");
        scroller.className = "table";
        enter(scroller);
      }
      enter(opened(token, children));
    } else if (token.type === "code_inline") {
      children.element("code");
      const code = new Children(children.last);
      code.text(token.content);
      code.end();
    } else if (token.type === "fence" || token.type === "code_block") showCode(token, children);
    else if (token.type === "image") {
      const url = token.attrGet("src");
      enter(link(url, children));
      show(token.children.length ? token.children : [{ type: "text", content: url }], children);
      leave();
    } else if (token.type === "hr") children.element("hr");
    else if (token.type === "softbreak" || token.type === "hardbreak") children.text("\n");
    else children.text(token.content);
  }
}

function link(url, children) {
  const element = children.element("a", () => anchor(url));
  const { href } = urlOf(url);
  if (element.href !== href) element.href = href;  // a bare address grows
  return element;
}

function opened(token, children) {
  const level = token.tag.match(/^h([1-5])$/)?.[1];  // the page itself has the first one
  const element = children.element(level ? `h${+level + 1}` : token.tag);
  if (token.type === "ordered_list_open" && token.attrGet("start") !== null) element.start = token.attrGet("start");
  if (token.attrGet("style")) element.style.textAlign = token.attrGet("style").replace("text-align:", "");
  return element;
}

function showCode(token, children) {
  const language = token.info.trim().split(/\s+/)[0].slice(0, 40) || "text";
  const figure = children.element(`figure ${language}`, () => {
    const figure = make("figure", make("pre", make("code")));
    if (!children.last?.isContinued) {
      figure.prepend(make("figcaption", make("span", language), copyButton("Copy", "Copy code", () => codeOf(figure))));
    }
    return figure;
  });
  figure.code = token.content;
  const code = new Children(figure.querySelector("code"));
  code.text(token.content.replace(/\n$/, ""));
  code.end();
}

// Returns the text of a code block, which may go on in the figures behind it.
function codeOf(figure) {
  let text = figure.code;
  for (; figure.isContinued; text += figure.code) figure = figure.nextElementSibling;
  return text.replace(/\n$/, "");
}

class Markdown {
  constructor(root) {
    this.root = root;
    this.source = "";  // from the beginning of the last block on
    this.prefix = "";  // lines that the open block is parsed with: those that began it in an earlier element
    this.last = null;  // the last finished block
  }
  feed(text) { this.source += text; }
  // Shows all that has arrived.
  render() {
    while (this.source.length > MAX_OPEN) this.step(wholeCharacters(this.source, MAX_OPEN));
    this.step(this.source);
    this.mark();
  }
  close() {
    this.render();
    this.show(this.parse(this.source, false));
    this.mark(false);
  }
  parse(source, open) { return parser.parse(this.prefix + source, { open }); }
  show(tokens) {
    const children = new Children(this.root, this.last);
    show(tokens, children);
    children.end();
  }
  // Shows the beginning of the source, and takes the blocks off it that are finished.
  step(source) {
    const tokens = this.parse(decided(source), true);
    this.show(tokens);
    const starts = tokens.filter(({ level, nesting }) => !level && nesting >= 0);
    if (starts.length > 1) this.finish(starts.at(-1).map[0], this.root.lastChild.previousSibling);
    else if (source.length >= MAX_OPEN - 1) this.split(source, tokens);
  }
  finish(lines, last) {
    this.source = this.source.slice(offset(this.prefix + this.source, lines) - this.prefix.length);
    this.prefix = "";
    this.last = last;
  }
  // Finishes the element of a block that is too long; the block goes on in the next one.
  split(source, tokens) {
    const [block] = tokens;
    const end = splitAt(source, tokens);
    this.show(this.parse(source.slice(0, end), false));
    const begun = (this.prefix + source).match(/^[^\n]*\n(?:[^\n]*\n)?/)?.[0] ?? "";
    const lines = { fence: 1, table_open: 2 }[block?.type] ?? 0;
    this.prefix = begun.length < MAX_UNDECIDED ? begun.split("\n").slice(0, lines).map((line) => `${line}\n`).join("") : "";
    this.source = this.source.slice(end);
    if (this.last === this.root.lastChild) return;
    this.last = this.root.lastChild;
    this.last.classList.add("continued");
    if (block.type === "fence") {
      this.last.isContinued = true;
      if (source[end - 1] !== "\n") this.last.code = this.last.code.slice(0, -1);
    }
  }
  // Marks the element in which text arrives.
  mark(isOpen = true) {
    let leaf = this.root;
    while (leaf.lastElementChild && !/^(?:p|h\d|td|th)$/.test(leaf.localName)) {
      leaf = leaf.localName === "figure" ? leaf.querySelector("code") : leaf.lastElementChild;
    }
    if (this.leaf !== leaf) this.leaf?.classList.remove("open");
    this.leaf = leaf;
    if (leaf !== this.root && leaf.localName !== "hr") leaf.classList.toggle("open", isOpen);
  }
}

// Returns where a line begins.
function offset(text, line) {
  NEWLINE.lastIndex = 0;
  for (; line > 0; line -= 1) if (!NEWLINE.exec(text)) return text.length;
  return NEWLINE.lastIndex;
}

// Returns at most `size` characters, and no half of a pair of surrogates.
function wholeCharacters(text, size) {
  return text.slice(0, /[\ud800-\udbff]/.test(text[size - 1]) ? size - 1 : size);
}

// Returns where to split the source of a block: before an item of a list, behind a line, a word, or at the end.
function splitAt(source, tokens) {
  const item = tokens.findLast(({ level, type }) => level === 1 && type === "list_item_open");
  if (item?.map[0] > 0) return offset(source, item.map[0]);
  const line = source.lastIndexOf("\n") + 1;
  if (line > 1) return line;
  const word = source.search(/ [a-zA-Z][^ ]{0,99}$/) + 1;
  return word > 1 && tokens[0]?.type !== "fence" ? word : source.length;
}
