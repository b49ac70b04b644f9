"""The documents say what the program does: options, defaults, statuses, tables, in both directions."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import click
import pytest

from llmstream import errors
from llmstream.click_commands import ClickCommand
from llmstream.config import file as config
from llmstream.core import events, report
from llmstream.core.exchange import Exchange
from llmstream.core.kinds import Seconds, Size, show_time
from llmstream.core.timing import Timeouts, Timing
from llmstream.dialects import dialect
from llmstream.net import model_file
from llmstream.net.easy import CA_FILE_VARIABLES
from llmstream.providers.registry import PROVIDERS
from llmstream.providers.resolve import resolve
from llmstream.request.options import OPTIONS

from .conftest import ROOT, at, environment
from .support import docs, examples, generate, needs
from .support.loopback import Provider, reply

COMMANDS = docs.commands()
PAGES = docs.COMMAND_PAGES
HELP_COLUMNS = 78  # of a terminal of 80

each_command = pytest.mark.parametrize("name", COMMANDS)


def option_items(name: str) -> list[docs.Item]:
    """The options of a page: the items of its lists, and those of the paragraph of conditions, a line each."""
    page = docs.page(name)
    items = [item for item in page.items("DESCRIPTION") if item.words[0] == "Fl"]
    paragraph = [line[1:].split() for line in page.sections["DESCRIPTION"] if line.startswith(".Fl -until-")]
    return items + [docs.Item(words, []) for words in paragraph]


# Pages and commands.


def test_each_command_has_its_page_and_each_page_its_command():
    assert sorted(COMMANDS) == PAGES


@each_command
def test_the_page_has_the_sections_that_readers_look_for(name):
    sections = list(docs.page(name).sections)
    assert sections[:3] == ["NAME", "SYNOPSIS", "DESCRIPTION"]
    assert sections[-3:] == ["EXIT STATUS", "EXAMPLES", "SEE ALSO"]


@each_command
def test_the_page_lists_the_options_of_the_command_and_no_others(name):
    listed = [flag for item in option_items(name) for flag in item.flags()]
    assert sorted(listed) == sorted(docs.names(COMMANDS[name]))


@each_command
def test_names_of_one_option_stand_together(name):
    listed = {frozenset(item.flags()) for item in option_items(name)}
    assert listed == {frozenset(option.opts + option.secondary_opts) for option in docs.options(COMMANDS[name])}


@each_command
def test_the_synopsis_has_every_option_or_says_options(name):
    shown = docs.page(name).flags("SYNOPSIS")
    assert not shown - docs.names(COMMANDS[name])
    if ".Op Ar options" not in docs.page(name).sections["SYNOPSIS"]:
        assert not [option.opts for option in docs.options(COMMANDS[name]) if not shown & set(option.opts)]


@each_command
def test_the_page_mentions_no_option_that_does_not_exist(name):
    known = docs.names(COMMANDS[name])
    if name == "llmstream":  # speaks of all
        known = set().union(*map(docs.names, COMMANDS.values()))
    assert not docs.page(name).flags() - known


@each_command
def test_values_have_the_names_that_help_gives_them(name):
    ctx = COMMANDS[name]
    listed = {flag: item.values() for item in option_items(name) for flag in item.flags()}
    for option in docs.options(ctx):
        expected = docs.metavars(docs.value(option, ctx)) if docs.takes_value(option) else []
        assert listed[option.opts[0]] == expected, option.opts


@each_command
def test_the_synopsis_has_the_operands(name):
    ctx = COMMANDS[name]
    lines = [line for line in docs.page(name).sections["SYNOPSIS"] if re.search(r"^\.(Op )?Ar ", line)]
    words = [docs.metavars(" ".join(w for m, w in docs.arguments(line[1:].split()) if m == "Ar")) for line in lines]
    if words[:1] == [["options"]]:
        lines, words = lines[1:], words[1:]
    if isinstance(ctx.command, click.Group):
        assert words == [["command"], ["argument"]]
        return
    operands = [param for param in ctx.command.params if isinstance(param, click.Argument)]
    assert words == [docs.metavars(operand.make_metavar(ctx)) for operand in operands]
    assert [line.endswith(" ...") for line in lines] == [operand.nargs == -1 for operand in operands]
    assert [line.startswith(".Op ") for line in lines] == [not operand.required for operand in operands]


@each_command
def test_page_and_help_state_the_defaults(name):
    items = option_items(name)
    stated = {flag: re.findall(r"The default is (\S+)\.", item.text()) for item in items for flag in item.flags()}
    for option in docs.options(COMMANDS[name]):
        row = OPTIONS.get(option.name or "")
        if not docs.takes_value(option):
            assert stated[option.opts[0]] == [], option.opts
            continue
        kind, default = docs.parameter(option).kind, (row or docs.parameter(option)).default
        if default is None:
            assert stated[option.opts[0]] == [], option.opts
            continue
        word = f"{default:g}" if isinstance(default, float) else str(default)
        word = "none" if word == "0" else show_time(default) if isinstance(kind, Seconds) else word
        word = f"{default >> 20}M" if isinstance(kind, Size) else word
        if not option.opts[0].startswith("--until-"):  # which the page of until explains
            assert stated[option.opts[0]] == [word], option.opts
        assert f"({word})" in (option.help or ""), option.opts


@each_command
def test_help_shows_examples_of_the_command(name):
    ctx = COMMANDS[name]
    done = subprocess.run(
        [sys.executable, "-m", *name.split("-", 1), "--help"], capture_output=True, env=environment(), text=True
    )
    shown = [line for line in done.stdout.splitlines() if re.search(r"^  (.*\| )?llmstream ", line)]
    assert done.returncode == 0
    assert any(context.command.name == ctx.command.name or ctx.parent is None
               for line in shown for context, _ in examples.invocations(line))  # fmt: skip
    assert not examples.unknown_options("\n".join(shown))
    assert not [line for line in done.stdout.splitlines() if len(line) > HELP_COLUMNS]


@each_command
def test_each_option_has_a_group_and_one_line_of_help_at_80_columns(name):
    ctx = COMMANDS[name]
    formatter = click.HelpFormatter(width=HELP_COLUMNS)
    ctx.command.format_options(ctx, formatter)
    if not isinstance(ctx.command, click.Group) and len(docs.options(ctx)) > 9:
        assert isinstance(ctx.command, ClickCommand) and ctx.command.command.ungrouped
    lines = formatter.getvalue().splitlines()
    starts = [line for line in lines if re.match("  -", line)]
    rest = [line for line in lines if line.startswith("   ")]
    assert len(starts) == len(docs.options(ctx))
    assert not [line for line in lines if "..." in line and "items" not in line]
    assert [line.strip() for line in rest] in ([], ["high, xhigh or max."])  # --effort lists its words
    for option in docs.options(ctx):
        assert (option.help or "").endswith("."), option.opts
        assert not re.search(r"\b(as above|the same|such|these)\b", (option.help or "").replace("such as", "")), (
            option.opts
        )


def test_the_overview_lists_the_commands():
    items = docs.page("llmstream").items("COMMANDS")
    assert [f"llmstream-{item.words[1]}" for item in items] == [name for name in COMMANDS if name != "llmstream"]
    assert all(f"llmstream-{item.words[1]} 1" in item.text() for item in items)


def test_what_is_written_from_tables_is_fresh():
    assert generate.stale() == [], "run python -m tests.support.generate"


def test_see_also_names_pages_that_exist_in_their_order():
    for name in [*PAGES, *docs.TOPIC_PAGES]:
        named = re.findall(r"^\.Xr (\S+) (\d)", "\n".join(docs.page(name).sections["SEE ALSO"]), re.M)
        assert named == sorted(named, key=lambda reference: (reference[1], reference[0])), name
        ours = [page for page, _ in named if page.startswith("llmstream")]
        assert set(ours) <= {*PAGES, *docs.TOPIC_PAGES} - {name}, name
        assert name != "llmstream" or set(ours) == {*PAGES, *docs.TOPIC_PAGES} - {name}


@needs.program("mandoc")
@pytest.mark.parametrize("name", [*PAGES, *docs.TOPIC_PAGES])
def test_mandoc_finds_nothing_to_warn_of(name):
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", docs.path(name)], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("", 0)


# What pages copy from the code.


def test_the_overview_lists_all_exit_statuses():
    listed = {item.words[0]: item.body[0] for item in docs.page("llmstream").items("EXIT STATUS")}
    assert listed.pop("0") == "done; found; the reader had enough"
    assert listed == {str(error.status): error.description for error in errors.STATUSES}


@each_command
def test_a_page_lists_only_statuses_of_the_overview(name):
    listed = [item.words[0] for item in docs.page(name).items("EXIT STATUS")]
    assert listed == [status for status in "012345" if status in listed]


def rows(name: str, section: str) -> dict[str, list[list[str]]]:
    """Returns the rows of the table of providers in a page, by provider."""
    table: dict[str, list[list[str]]] = {}
    for item in docs.page(name).items(section):
        if "Ta" in item.words:
            first, *rest = item.cells()
            if first:
                table[first[0]] = rest
            else:  # it continues the row before
                last = next(reversed(table.values()))
                last[:] = [before + more for before, more in zip(last, rest, strict=True)]
    del table["Provider"]
    return table


def test_keys_and_addresses_of_the_providers():
    assert rows("llmstream", "ENVIRONMENT") == {
        name: [list(row.key_env) or ["none"], [row.url_env or "none"]] for name, row in PROVIDERS.items()
    }


@needs.program("mandoc")
def test_no_row_of_the_table_is_much_wider_than_a_terminal():
    done = subprocess.run(["mandoc", "-T", "ascii", docs.path("llmstream")], capture_output=True, text=True, check=True)
    lines = [re.sub(".\b", "", line) for line in done.stdout.splitlines()]
    assert any("ANTHROPIC_AUTH_TOKEN" in line for line in lines)
    assert max(map(len, lines)) < 90  # the widest is the address of bedrock-mantle


def test_dialects_and_default_models_of_the_providers_in_their_order():
    assert list(rows("llmstream-gen", "MODELS").items()) == [
        (name, [[row.api], [row.model or "none"]]) for name, row in PROVIDERS.items()
    ]


def test_every_variable_that_is_read_is_in_the_overview():
    known = {row.url_env for row in PROVIDERS.values()} - {""}
    known |= {name for row in PROVIDERS.values() for name in (*row.key_env, *row.header_env, row.token_env) if name}
    by_pip_and_uv = {ROOT / "llmstream/net" / name for name in ("indexes.py", "package.py")}
    known |= {"PIP_INDEX_URL", "UV_DEFAULT_INDEX"}  # pip and uv document the others
    for path in {*(ROOT / "llmstream").rglob("*.py")} - by_pip_and_uv:
        read = re.findall(r'env(?:iron)?(?:\.get\(|\[)"(\w+)"', path.read_text())
        known |= {name.upper() for name in read}  # no_proxy is NO_PROXY in lower case
    overview = "\n".join(docs.page("llmstream").sections["ENVIRONMENT"])
    listed = re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b|(?<=Ev )[A-Z]+", overview)
    by_libcurl = {"HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", *CA_FILE_VARIABLES}
    by_sdks = {"AWS_REGION", "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_BEARER_TOKEN_BEDROCK"}
    by_sdks |= {"CLOUD_ML_REGION", "ANTHROPIC_VERTEX_PROJECT_ID", "GOOGLE_APPLICATION_CREDENTIALS"}
    assert set(listed) == known | by_libcurl | by_sdks


def test_the_embedded_model_is_among_the_files():
    model = docs.page("llmstream").items("FILES")[1]
    assert model.words == ["Pa", f"~/.cache/llmstream/{model_file.MODEL}"]
    assert f"{model_file.SIZE_BYTES // 1_000_000} MB" in model.text()


def test_the_configuration_is_among_the_files():
    path = docs.page("llmstream").items("FILES")[0].words[1]
    assert config.path_of({}) == (os.path.expanduser(path), False)


def test_the_configuration_has_these_keys():
    items = docs.page("llmstream").items("CONFIGURATION")
    assert [item.words for item in items] == [["Cm", key] for key in (*config.TOP, *config.PROVIDER)]


def tomls() -> list[tuple[str, str]]:
    """Returns the configurations that the documents show, each with its place."""
    (page,) = docs.page("llmstream").displays("CONFIGURATION")
    readme = examples.fenced((ROOT / "README.md").read_text(), "README.md")
    return [("llmstream.1", page), *((block.where, block.text) for block in readme if block.kind == "toml")]


@pytest.mark.parametrize(("where", "text"), tomls())
def test_each_configuration_in_the_documents_is_valid(invoke, tmp_path, where, text):
    path = tmp_path / "config.toml"
    path.write_text(text)
    done = invoke("gen", "--dry-run", "-m", "ollama/m", "Hi", env=environment(LLMSTREAM_CONFIG=str(path)))
    assert (done.returncode, done.stderr) == (0, b""), where


def test_the_prompt_file_in_the_page_is_valid(invoke, tmp_path):
    (text,) = docs.page("llmstream-gen").displays("PROMPT FILES")
    (tmp_path / "p.md").write_text(text)
    done = invoke("gen", "--dry-run", "-f", "p.md", url="http://127.0.0.1:9", input=b"Tag", cwd=tmp_path)
    body = json.loads(done.stdout.partition(b"\n\n")[2])
    assert body["messages"][0]["content"] == "Translate into English:\n\nTag"
    assert (body["system"], body["output_config"]["effort"], body["max_tokens"]) == (
        "You are a translator.",
        "low",
        2000,
    )


@pytest.mark.parametrize("number", [0, 1])
def test_the_objects_of_models_have_these_fields(invoke, number):
    shown = records("llmstream-models", "OBJECTS")[number]
    with Provider(reply("200 OK", json.dumps({"data": [shown.get("details")]}).encode())) as provider:
        env = at(provider.url) if number else environment()
        done = invoke("models", "--json", *(["openai"] if number else []), env=env)
    assert shown in [json.loads(line) for line in done.stdout.splitlines()]


def records(name: str, section: str) -> list[dict[str, object]]:
    """Returns the sample records of a section; a line that begins with a blank continues its record."""
    return [
        json.loads(line) for text in docs.page(name).displays(section) for line in re.split(r"\n(?! )", text.strip())
    ]


def test_the_events_have_these_fields():
    kinds = {kind.type: ["type", *kind.__slots__] for kind in events.Event.__subclasses__()}
    samples: dict[str, dict[str, object]] = {}
    for sample in records("llmstream-gen", "EVENTS"):
        samples.setdefault(str(sample["type"]), {}).update(sample)
    assert {kind: list(sample) for kind, sample in samples.items()} == kinds | {"error": ["type", "status", "message"]}
    items = docs.page("llmstream-gen").items("EVENTS")
    assert [item.words for item in items] == [["Cm", kind] for kind in samples]
    reasons = next(line for line in items[-2].body if line.startswith(".Cm stop")) + items[-2].text()
    assert all(reason in reasons for reason in events.REASONS if reason != "cancelled")  # which has no event


def test_the_statistics_have_these_fields():
    (sample,) = records("llmstream-gen", "STATISTICS")
    target = resolve("local", None, {})
    exchange = Exchange(dialect(target.api).Decoder("p", "m"), Timeouts(), Timing(0.0), 0.0, "")
    assert list(sample) == ["time", *report.record("p", "m", exchange, 1.0, status=0)]
