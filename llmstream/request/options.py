"""The options of a request, one row each: names, checks and help for every door.

The command line, the configuration, prompt files, Python's keyword arguments, map's records and the bodies of HTTP
requests all read this table. To add an option, add a row; a dialect needs a line only where it names the field
differently (`core/request.py`). `python -m tests.support.generate` then writes the manual pages and `api/options.py`.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..core.kinds import ANSWER, MODEL, NETWORK, PROMPT, Choice, Flag, Integer, Kind, Number, Seconds, Text, Texts
from ..core.request import EFFORTS, join_patches
from ..dialects import APIS
from ..errors import nearest
from .kinds import Callback, Conditions, Fields, Files, Items, Model, Schema, TextOrFile, ToolChoice, Variable

COMMAND, FILE, PYTHON, RECORD, HTTP = DOORS = ("command", "file", "python", "record", "http")

HERE = (COMMAND, FILE, PYTHON)  # doors of the user's own, whose values may name files
ALL = (COMMAND, FILE, PYTHON, RECORD)


class Option(NamedTuple):
    """A row. A message names an option by `name`; each door spells it its own way.

    `help` is a sentence for `--help` that stands alone; `text` are the sentences of the manual page, where they say
    more than `help`: a line each, with ``--option``, `literal` and *argument* marked so. `group` is the heading under
    which `--help` and the manual pages list the option. `default` is what the option is when no door sets it, and None
    where the provider or another option decides. `openai` are its names in the bodies of OpenAI's API.
    """

    name: str
    kind: Kind
    help: str = ""
    text: str = ""
    short: str = ""
    metavar: str = ""
    group: str = MODEL
    doors: tuple[str, ...] = ALL
    openai: tuple[str, ...] = ()
    same_name: bool = False  # whether every API has it as a field of the body under this name
    flag: str = ""  # the long name on the command line, where it is not `name`
    default: Any = None

    @property
    def long(self) -> str:
        """The long name on the command line, without its hyphens in front."""
        return self.flag or self.name.replace("_", "-")

    def parse(self, value: Any, door: str) -> Any:
        """Returns the checked value. Raises ValueError, whose message continues after the option's name."""
        return self.kind.parse(value, files=door in HERE)


ROWS = (
    Option("model", Model(),
        "Provider/model, alias or .gguf.",
        "The model that answers; see MODELS.\n"
        "Of several, each is asked when the one before is unavailable; see ``--fallback-on``.",
        short="m", metavar="MODEL", doors=(*ALL, HTTP), openai=("model",)),
    Option("api", Choice(*APIS), "The protocol: chat, responses, messages, ollama.",
        "The protocol to use instead of the provider's default:\n"
        "OpenAI's Chat Completions, which all compatible servers share, OpenAI's Responses, Anthropic's Messages, or "
        "Ollama's own.", metavar="API", doors=HERE),
    Option("base_url", Text(), "Send the request to the API at URL.",
        "Send the request to the API at *url* instead of the provider's.\n"
        "It is a base URL, as the provider's variable has it.\n"
        "Only the key of ``--key-env`` goes there: no other key, and no header of the configuration.\n"
        "`openai/`*model* speaks `chat` there, unless ``--api`` says otherwise.\n"
        "`http://` sends the key as it is: use it only for hosts on networks that you trust.",
        metavar="URL", doors=(COMMAND, PYTHON)),
    Option("key_env", Variable(), "Read the key from the variable NAME.",
        "Read the key from the environment variable *name*, and send no other.", metavar="NAME", doors=(COMMAND,)),
    Option("system", TextOrFile(), "The system prompt, or the file that holds it.",
        "The system prompt, or the file that holds it.\n"
        "The name of a file without `@` stays a name, and a note says so.", short="s",
        metavar="TEXT|@FILE", group=PROMPT, doors=(*ALL, HTTP)),
    Option("max_tokens", Integer(1, 2**31 - 1), "Limit the answer to N tokens.",
        "Limit the answer to *n* tokens.\n"
        "An answer that reaches this limit counts as complete, unless it has to be JSON and is not whole;\n"
        "one that reaches the model's own limit does not.", metavar="N", group=ANSWER, doors=(*ALL, HTTP),
        openai=("max_completion_tokens", "max_tokens")),
    Option("temperature", Number(), "Sampling temperature.",
        "The sampling temperature.\n"
        "Reasoning models refuse it; some accept it only with ``--effort`` `none`.\n"
        "Newer Claude models refuse it.", short="t", metavar="X", doors=(*ALL, HTTP),
        openai=("temperature",), same_name=True),
    Option("top_p", Number(above=0), "Sample from the most likely tokens, X in total.",
        "Sample only from the most likely tokens whose probabilities add up to *x*.",
        metavar="X", doors=(*ALL, HTTP), openai=("top_p",), same_name=True),
    Option("seed", Integer(), "Sampling seed.", "The seed of the sampling.\nOnly `chat` and `ollama` have it.",
        metavar="N", doors=(*ALL, HTTP), openai=("seed",)),
    Option("stop", Texts(is_needed=True), "Have the provider stop before TEXT.",
        "End the answer before *text*.\n"
        "The server looks for it, and limits how many there may be.\n"
        "An empty one is an error.\n"
        "`responses` does not have it.", metavar="TEXT", group=ANSWER, doors=(*ALL, HTTP), openai=("stop",)),
    Option("options", Fields(), "Set a field of the request's body.",
        "Set a field of the request's body.\n"
        "An object is merged into one that is there already, at every depth, and `null` removes what is there;\n"
        "an object of another `type`, and any other value, replaces it.\n"
        "A bare word is a string: ``-o`` `service_tier=flex`.\n"
        "Quote JSON for the shell: "
        "``-o`` `'reasoning={\"summary\":\"auto\"}'`.", short="o", metavar="KEY=JSON",
        flag="option"),
    Option("json", Flag(), "Require a JSON object as the answer.",
        "Require a JSON object as the answer.\n"
        "OpenAI wants the prompt to speak of JSON, too.\n"
        "`messages` has this only with a schema.", group=ANSWER, doors=(*ALL, HTTP)),
    Option("schema", Schema(), "Require JSON matching SCHEMA: 'name, age int'.",
        "Require JSON that matches a JSON Schema: one in a file, or one that is written out.\n"
        "A list of fields does for simple ones: `'name, age int, bio: one sentence'`, where a field is a string "
        "unless its type is `int`, `float` or `bool`, and what follows a colon describes the field to the model.\n"
        "Where such a list has several lines, each line is a field, and may have commas.\n"
        "\n"
        "Properties that a schema does not name are ruled out, as the providers want it.\n"
        "OpenAI's strict mode is on where the schema fits it, that is, requires all that it names.\n"
        "An invalid schema is an error before anything is sent;\n"
        "what a provider does not support, its own error says.", metavar="SCHEMA", group=ANSWER,
        doors=(*ALL, HTTP)),
    Option("schema_multi", Schema(), 'Require {"items": [...]}, each matching SCHEMA.',
        'Require a list of objects that match the schema, as `{"items": [...]}`.\n'
        "`llmstream fields -r 'items[*]'` writes each item as soon as it is complete.", metavar="SCHEMA", group=ANSWER,
        doors=ALL),
    Option("check", Flag(), "Validate the JSON; ask again if it is wrong.",
        "Check that the whole answer is what ``--json``, ``--schema`` or ``--schema-multi`` requires; see CHECKED "
        "ANSWERS.\n"
        "It needs the extra `check`.", group=ANSWER, doors=(*ALL, HTTP)),
    Option("check_retries", Integer(0), "Ask again at most N times (1).",
        "Ask again for an answer that ``--check`` finds wrong, at most *n* times.", metavar="N", group=ANSWER,
        doors=(COMMAND, FILE, RECORD), default=1),
    Option("attach", Files(), "Attach image, PDF, text or sound.",
        "Attach a file, what is at a URL, or, with `-`, standard input, which then is no part of the prompt.\n"
        "Images (PNG, JPEG, GIF, WebP), PDF and text in UTF-8 are attached, and sound (WAV, MP3) in `chat`;\n"
        "`ollama` takes images and text, the embedded model text.\n"
        "The content of a file tells its type, not its name.\n"
        "llmstream itself fetches a URL, so that this works with every provider.\n"
        "Attachments stand before the prompt.\n"
        "They may have 50 MB together, as they are sent, or 32 MB in `messages`;\n"
        "files that are not text grow by a third when they are sent.", short="a", metavar="FILE|URL", group=PROMPT,
        doors=HERE),
    Option("messages", Items(), "Put a conversation in JSON before the prompt.",
        "The conversation before the prompt: an array, or an object a line, of "
        '`{"role": "user", "content": "..."}`, where the role is `user` or `assistant`, or, for the first one, '
        "also `system`.\n"
        "Calls of tools (`tool_calls`), their results (the role `tool` with a `tool_call_id`), and parts of the types "
        "`text`, `image_url` and `file` are those of OpenAI's Chat Completions; images and files are data URLs.\n"
        "Messages of the user and results may have parts.\n"
        "The prompt follows as the user's next message; it may be left out where the last message is the user's.\n"
        "`-` is standard input.", metavar="FILE", group=PROMPT),
    Option("prefill", Text(is_needed=True), "Make the answer begin with TEXT.",
        "Make the answer begin with *text*, which is written first, so that the output is the whole answer.\n"
        "`llamacpp`, `local`, `vllm`, `ollama`, `mistral`, `groq` and `deepseek` can do this, and Claude's 4.5 "
        "models; all others have ``--schema``.", metavar="TEXT", group=ANSWER, doors=(*ALL, HTTP)),
    Option("effort", Choice(*EFFORTS), "Reasoning effort: none, minimal, low, medium, high, xhigh or max.",
        "How much the model thinks before it answers.\n"
        "Models differ in the words that they know; a word that a model is known not to have is an error before "
        "anything is sent.\n"
        "`messages` does not have `minimal`, and `ollama` has neither `minimal` nor `xhigh`.\n"
        "Claude's 4.5 models get a number of tokens instead: 2048, 8192, 16384, 24576 or 31999 for `low` to "
        "`max`.", metavar="LEVEL", doors=(*ALL, HTTP), openai=("reasoning_effort",)),
    Option("reasoning", Flag(), "Send the model's reasoning as well, in events of its own.", doors=(PYTHON, HTTP)),
    Option("tools", Items(), "Offer the model the tools in FILE; use --events.",
        "Tools that the model may call: an array, or an object a line, of "
        '`{"name", "description", "parameters"}`, where the parameters are a JSON Schema, or of OpenAI\'s, '
        "Anthropic's or MCP's shape of the same.\n"
        "A call is an event, or part of a record: gen needs ``--events``, ``--line``, ``--chat``, or ``--run-tools``, "
        "which runs it.", metavar="FILE", group=ANSWER,
        doors=ALL, openai=("tools",)),
    Option("max_turns", Integer(1), "Ask at most N times (10).",
        "Ask at most *n* times, where the results of ``--run-tools`` are sent back, or an answer that the provider has "
        "paused.\n"
        "Where the model then still calls tools, or the provider still pauses, the answer is not whole, status 5.",
        metavar="N", group=ANSWER, doors=HERE, default=10),
    Option("tool_choice", ToolChoice(), "Whether a tool has to be called: auto, none, required, or a name.",
        doors=(PYTHON, RECORD), openai=("tool_choice",)),
    Option("cache", Flag(), "Cache the prompt's beginning at the provider.",
        "Have the provider cache the parts that stay the same, so that they cost less the next time: the tools and the "
        "system prompt, the conversation before the prompt, the attachments.\n"
        "For Anthropic, the end of each part is marked.\n"
        "OpenAI and Azure cache by themselves; the request has a `prompt_cache_key`, which sends requests with the "
        "same beginning to the same server: a hash of the tools and the system prompt, or else of the first message "
        "or the attachments.\n"
        "OpenAI's models from GPT-5.6 on cache only up to marks, and get them.\n"
        "Other providers cache by themselves.", doors=HERE),
    Option("cache_ttl", Choice("5m", "1h"), "Cache as --cache does, for 5m or 1h (5m).",
        "As ``--cache``; Anthropic keeps the cached parts for `5m`, its default, or for `1h`, which costs more to "
        "write.\n"
        "Each use starts the time again.\n"
        "Only `messages` has this.", metavar="5m|1h", doors=HERE),
    Option("within", Choice("2h", "8h"), "Have OpenAI answer within 2h or 8h, for less.",
        "Have OpenAI answer within `2h`, for 30 % less, or within `8h`, for 40 % less; see BACKGROUND RESPONSES.\n"
        "Only OpenAI's Responses API has this.", metavar="2h|8h", doors=HERE),
    Option("retries", Integer(0, 2**31 - 1), "Retry a failed request at most N times (4).",
        "Send the request again, at most *n* times, when it failed before there was any output, and for a reason "
        "that may pass: a lost connection, a rate limit, an overloaded or broken server.\n"
        "An error that does not heal is not retried.\n"
        "Without this option a refused connection is retried once, and a name that does not resolve, or a first "
        "output that does not come in time, not at all.\n"
        "The waits grow, and are random, unless the server says how long to wait.\n"
        "A note says so each time.", metavar="N", group=NETWORK, doors=HERE, default=4),
    Option("fallback_on", Choice("unavailable", "refusal"), "When to ask the next -m: unavailable, refusal.",
        "When to ask the next ``-m``, before there was any output: when a model is `unavailable` after its own "
        "retries, which is status 4, and the default; or on a `refusal`, too, which is status 3.\n"
        "Retries and time-outs begin anew with each model.\n"
        "A note says so each time.", metavar="WHEN", group=NETWORK, doors=HERE),
    Option("max_retry_wait", Seconds(), "Longest wait before a retry (1m).",
        "Give up where a server asks for a wait of more than *time*.", metavar="TIME", group=NETWORK, doors=HERE,
        default=60.0),
    Option("connect_timeout", Seconds(), "Give up connecting after TIME (10s).",
        "Give up when there is no connection within *time*.", metavar="TIME", group=NETWORK, doors=HERE,
        default=10.0),
    Option("first_token_timeout", Seconds(), "Limit on silence before the first output (10m).",
        "Give up when, before the first output, nothing has come from the server for *time*.\n"
        "Whatever comes while a model thinks is a sign of life.", metavar="TIME", group=NETWORK, doors=HERE,
        default=600.0),
    Option("stall_timeout", Seconds(), "Limit on silence within the answer (5m).",
        "Give up when, within the answer, nothing has come from the server for *time*.\n"
        "The time in which the reader was busy does not count.", metavar="TIME",
        group=NETWORK, doors=HERE, default=300.0),
    Option("timeout", Seconds(), "Limit on the time of the whole answer (none).",
        "Give up when the answer is not complete *time* after the request.", metavar="TIME", group=NETWORK,
        doors=HERE, default=0.0),
    Option("resume_cut", Flag(), "Resume a cut answer, where the provider can.",
        "When an answer is cut, ask for the rest of it where the server can go on exactly:\n"
        "`llamacpp` and `local` replay the bytes of a generation, `openai` and `azure` keep a background "
        "response, and `ollama`, `vllm`, `mistral`, `groq`, `deepseek` and Claude's 4.5 models continue a last message "
        "of the assistant's, where all that came was text.\n"
        "No text is repeated or lost at the seam.\n"
        "A note says so each time, which counts as one of the ``--retries``.\n"
        "A background response is kept by the provider for a while, and its first token comes later.",
        group=NETWORK, doors=HERE),
    Option("until", Conditions(), doors=(PYTHON, HTTP), help="End the answer at a stop condition."),
    Option("api_key", Text(), doors=(PYTHON,), help="The key that is sent."),
    Option("on_text", Callback("str"), doors=(PYTHON,), help="Called with each piece of text."),
    Option("on_finish", Callback("Finish"), doors=(PYTHON,), help="Called with the last event."),
    Option("note", Callback("str"), doors=(PYTHON,), help="Called with a sentence on a retry or a faulty answer."),
)  # fmt: skip
OPTIONS = {row.name: row for row in ROWS}
RIVALS = {"schema": "schema_multi", "schema_multi": "schema"}  # of the two, the one of the higher layer counts


def at(door: str, group: str = "") -> list[Option]:
    """Returns the rows that a door has, of one group or of all."""
    return [row for row in OPTIONS.values() if door in row.doors and group in ("", row.group)]


def parse(values: Mapping[str, Any], door: str, error: Callable[[str, str], Exception]) -> dict[str, Any]:
    """Returns the checked values of a door's options; None is as good as missing.

    `error(name, message)` makes the exception for a value that is wrong. Names that are not in the table raise
    KeyError: check them before with `unknown`.
    """
    checked = {}
    for name, value in values.items():
        if value is not None:
            try:
                checked[name] = OPTIONS[name].parse(value, door)
            except ValueError as wrong:
                raise error(name, str(wrong)) from None
    return checked


def unknown(name: str, door: str) -> str:
    """Returns a message about a name that a door does not have, or "" where it has it."""
    if name in OPTIONS and door in OPTIONS[name].doors:
        return ""
    near = nearest(name, [row.name for row in at(door)])
    return f"there is no option {name!r}" + (f": did you mean {near!r}?" if near else "")


def add_layer(values: dict[str, Any], layer: Mapping[str, Any], parse: Callable[[str, Any], Any]) -> None:
    """Adds a layer of lower precedence to `values`: options that no higher layer has, and no rival of them.

    Fields of the body are joined: the higher layer's are merged into those of the lower. `parse(name, value)` returns
    the checked value, and is called for no others.
    """
    higher = frozenset(values)
    for name, value in layer.items():
        if name == "options" and name in higher:
            values[name] = join_patches([parse(name, value), values[name]])
        elif name not in higher and RIVALS.get(name) not in higher:
            values[name] = parse(name, value)
