"use strict";

// The page: the conversation, the form, the models of the server, and its token. The conversation is in memory only.
const $ = (id) => document.getElementById(id);
const announce = (text) => { $("live").textContent = text; };
const turns = [];
let running = null;  // the turn whose answer is arriving

// Copying. Browsers offer navigator.clipboard to secure origins only.
async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = make("textarea");
  area.value = text;
  area.className = "visually-hidden";
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

function copyButton(label, name, text) {
  const button = make("button", label);
  button.type = "button";
  button.className = "small";
  button.setAttribute("aria-label", name);
  copyOnClick(button, text);
  return button;
}

function copyOnClick(button, text) {
  const label = button.textContent;
  button.addEventListener("click", async () => {
    try { await copy(text()); button.textContent = "Copied"; announce("Copied."); } catch { button.textContent = "Not copied"; }
    setTimeout(() => { button.textContent = label; }, 1500);
  });
}

// The conversation.
function settings() {
  const system = $("system").value, model = $("model").value.trim();
  return {
    reasoning: true,
    ...(system.trim() && { system }),
    ...(model && { model }),
    ...($("first-block").checked && { until: { code_block: true } }),
  };
}

function add(prompt) {
  const turn = new Turn(prompt);
  turns.push(turn);
  $("conversation").append(turn.element);
  const editor = turn.part("editor"), text = editor.querySelector("textarea");
  const edit = (on) => {
    editor.hidden = !on;
    turn.part("prompt").hidden = on;
    text.value = turn.prompt;
    (on ? text : turn.part("edit")).focus();
  };
  turn.part("edit").addEventListener("click", () => edit(true));
  turn.part("cancel").addEventListener("click", () => edit(false));
  editor.addEventListener("keydown", (event) => { if (event.key === "Escape") { edit(false); event.stopPropagation(); } });
  sendOnEnter(text);
  editor.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!text.value.trim()) return;
    turn.prompt = text.value;
    turn.part("prompt").hidden = false;
    askAgain(turn);
  });
  turn.part("again").addEventListener("click", () => askAgain(turn));
  copyOnClick(turn.part("copy"), () => turn.text);
  ask(turn);
}

function ask(turn) {
  $("hint").hidden = true;
  $("new").hidden = false;
  $("send").hidden = true;
  $("stop").hidden = false;
  const earlier = turns.slice(0, turns.indexOf(turn)).filter((one) => one.text.trim());
  const messages = earlier.flatMap((one) => [{ role: "user", content: one.prompt }, { role: "assistant", content: one.text }]);
  running = turn;
  turn.ask(settings(), messages);
}

// Asks a question once more, in place of its answer and of the turns behind it.
function askAgain(turn) {
  running?.stop();
  for (const later of turns.splice(turns.indexOf(turn) + 1)) later.element.remove();
  turn.reset();
  $("prompt").focus();
  ask(turn);
}

function onEnd(turn) {
  if (running !== turn) return;
  running = null;
  const focused = document.activeElement === $("stop");
  $("send").hidden = false;
  $("stop").hidden = true;
  if (focused) $("prompt").focus();
}

$("new").addEventListener("click", () => {
  running?.stop();
  for (const turn of turns.splice(0)) turn.element.remove();
  $("new").hidden = true;
  $("hint").hidden = false;
  announce("New conversation.");
  $("prompt").focus();
});

// The form.
function sendOnEnter(area) {
  area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); area.form.requestSubmit(); }
  });
}

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const prompt = $("prompt").value;
  if (running || !prompt.trim()) return;
  $("prompt").value = "";
  $("send").disabled = true;
  add(prompt);
});
sendOnEnter($("prompt"));
$("prompt").addEventListener("input", () => { $("send").disabled = !$("prompt").value.trim(); });
$("prompt").addEventListener("keydown", (event) => {
  if (event.key === "ArrowUp" && !$("prompt").value && turns.length) {
    event.preventDefault();
    $("prompt").value = turns.at(-1).prompt;
    $("send").disabled = false;
  }
});
$("stop").addEventListener("click", () => running?.stop());
addEventListener("keydown", (event) => { if (event.key === "Escape") running?.stop(); });

// The server.
function headers(extra = {}) {
  const token = sessionStorage.getItem("token");
  if (!token) return extra;
  const bytes = String.fromCharCode(...new TextEncoder().encode(token));  // fetch accepts bytes only in a header
  return { ...extra, Authorization: `Bearer ${bytes}` };
}

async function failureOf(response) {
  if (response.status === 401) {
    sessionStorage.removeItem("token");
    $("token-form").hidden = false;
    $("token").focus();
    return new Failure("A token is needed.", 2);
  }
  const { message, status } = await response.json().catch(() => ({}));
  return new Failure(message || `HTTP ${response.status}`, status || 5);
}

async function loadModels() {
  try {
    const response = await fetch("v1/models", { headers: headers() });
    if (response.status === 401) { await failureOf(response); return; }
    const { data } = await response.json();
    const names = data.map(({ id }) => id).filter((id) => id !== "default");
    $("models").replaceChildren(...names.map((name) => { const option = make("option"); option.value = name; return option; }));
    if (data[0]?.id === names[0] && names.length) $("model").placeholder = names[0];  // the default is the first
  } catch { /* the list is optional: any name can be typed */ }
}
$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", $("token").value);
  $("token").value = "";
  $("token-form").hidden = true;
  $("prompt").focus();
  loadModels();
});
$("send").disabled = true;
loadModels();
