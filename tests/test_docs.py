"""The documents say what the program does: options, defaults, statuses, tables in both directions; examples run."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys

import click
import pytest

from llmstream import errors, providers
from llmstream.core import events, report
from llmstream.core.exchange import Exchange
from llmstream.core.timing import Limits
from llmstream.net import embedded

from . import docs
from .conftest import ROOT, environment

COMMANDS = docs.commands()
PAGES = sorted(path.stem for path in (ROOT / "man").iterdir())
README = docs.fenced((ROOT / "README.md").read_text(), "README.md")
EXAMPLES = [block for name in PAGES for block in docs.examples(name)]
SESSIONS = EXAMPLES + [block for block in README if block.kind == "console"]

each_command = pytest.mark.parametrize("name", COMMANDS)
needs_bash = pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")


def option_items(name: str) -> list[docs.Item]:
    return [item for item in docs.page(name).items("DESCRIPTION") if item.words[0] == "Fl"]


# Pages and commands.


def test_each_command_has_its_page_and_each_page_its_command():
    assert sorted(COMMANDS) == PAGES


@each_command
def test_the_page_lists_the_options_of_the_command_and_no_others(name):
    listed = [flag for item in option_items(name) for flag in item.flags()]
    assert sorted(listed) == sorted(docs.names(COMMANDS[name]))


@each_command
def test_names_of_one_option_stand_together(name):
    listed = {frozenset(item.flags()) for item in option_items(name)}
    assert listed == {frozenset(option.opts) for option in docs.options(COMMANDS[name])}


@each_command
def test_the_synopsis_has_every_option_by_one_of_its_names(name):
    shown = docs.page(name).flags("SYNOPSIS")
    assert not shown - docs.names(COMMANDS[name])
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
        expected = docs.metavars(option.make_metavar(ctx)) if docs.takes_value(option) else []
        assert listed[option.opts[0]] == expected, option.opts


@each_command
def test_the_synopsis_has_the_operands(name):
    ctx = COMMANDS[name]
    lines = [line for line in docs.page(name).sections["SYNOPSIS"] if re.search(r"^\.(Op )?Ar ", line)]
    words = [docs.metavars(" ".join(w for m, w in docs.arguments(line[1:].split()) if m == "Ar")) for line in lines]
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
        default = option.default if docs.takes_value(option) else None
        if not isinstance(default, int | float | str):  # None, (), click's own "unset"
            assert stated[option.opts[0]] == [], option.opts
            continue
        word = f"{default:g}" if isinstance(default, float) else str(default)
        word = "none" if word == "0" else word
        assert stated[option.opts[0]] == [word], option.opts
        assert f"({word})" in (option.help or ""), option.opts


@each_command
def test_help_shows_examples_of_the_command(name):
    ctx = COMMANDS[name]
    done = subprocess.run(
        [sys.executable, "-m", *name.split("-", 1), "--help"], capture_output=True, env=environment(), text=True
    )
    examples = [line for line in done.stdout.splitlines() if re.search(r"^  (.*\| )?llmstream ", line)]
    assert done.returncode == 0
    assert any(context.command == ctx.command or ctx.parent is None
               for line in examples for context, _ in docs.invocations(line))  # fmt: skip
    assert not docs.unknown_options("\n".join(examples))


def test_the_overview_lists_the_commands():
    items = docs.page("llmstream").items("COMMANDS")
    assert [f"llmstream-{item.words[1]}" for item in items] == [name for name in COMMANDS if name != "llmstream"]
    assert all(f"llmstream-{item.words[1]} 1" in item.text() for item in items)


@pytest.mark.skipif(not shutil.which("mandoc"), reason="mandoc is not installed")
@pytest.mark.parametrize("name", PAGES)
def test_lint(name):
    path = ROOT / "man" / f"{name}.1"
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", path], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("", 0)


# What pages copy from the code.


def test_exit_statuses():
    listed = {item.words[0]: item.body[0] for item in docs.page("llmstream").items("EXIT STATUS")}
    assert listed.pop("0") == "done; found; the reader had enough"
    assert listed == {str(error.status): error.meaning for error in errors.STATUSES}


def test_exit_statuses_of_gen_are_some_of_them():
    listed = {item.words[0] for item in docs.page("llmstream-gen").items("EXIT STATUS")}
    assert listed == {"0", "2", "3", "4", "5"}


def rows(name: str, section: str) -> dict[str, list[list[str]]]:
    """The table of providers in a page, its head left out."""
    table = [item.cells() for item in docs.page(name).items(section) if "Ta" in item.words]
    return {first[0]: rest for first, *rest in table[1:]}


def test_keys_and_addresses_of_the_providers():
    assert rows("llmstream", "ENVIRONMENT") == {
        name: [list(row.key_env) or ["none"], [row.url_env or "none"]] for name, row in providers.PROVIDERS.items()
    }


def test_dialects_and_default_models_of_the_providers_in_their_order():
    assert list(rows("llmstream-gen", "MODELS").items()) == [
        (name, [[row.api], [row.model or "none"]]) for name, row in providers.PROVIDERS.items()
    ]


def test_every_variable_that_is_read_is_in_the_overview():
    known = {row.url_env for row in providers.PROVIDERS.values()} - {""}
    known |= {name for row in providers.PROVIDERS.values() for name in row.key_env}
    for path in (ROOT / "llmstream").rglob("*.py"):
        known |= set(re.findall(r'env(?:iron)?(?:\.get\(|\[)"(\w+)"', path.read_text()))
    listed = re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", "\n".join(docs.page("llmstream").sections["ENVIRONMENT"]))
    by_libcurl = {"HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}
    assert set(listed) == known | by_libcurl


def test_the_embedded_model_is_among_the_files():
    (item,) = docs.page("llmstream").items("FILES")
    assert item.words == ["Pa", f"~/.cache/llmstream/{embedded.MODEL}"]
    assert f"{embedded.SIZE // 1_000_000} MB" in item.text()


def records(name: str, section: str) -> list[dict[str, object]]:
    """The sample records of a section; a record goes on in lines that begin with a blank."""
    return [
        json.loads(line) for text in docs.page(name).displays(section) for line in re.split(r"\n(?! )", text.strip())
    ]


def test_the_events_have_these_fields():
    kinds = {kind.type: ["type", *kind.__slots__] for kind in events.Event.__subclasses__()}
    samples = records("llmstream-gen", "EVENTS")
    assert {str(sample["type"]): list(sample) for sample in samples} == kinds | {"error": ["type", "status", "message"]}
    items = docs.page("llmstream-gen").items("EVENTS")
    assert [item.words for item in items] == [["Cm", sample["type"]] for sample in samples]
    reasons = next(line for line in items[-2].body if line.startswith(".Cm stop")) + items[-2].text()
    assert all(reason in reasons for reason in events.REASONS if reason != "cancelled")  # which only a report says


def test_the_statistics_have_these_fields():
    (sample,) = records("llmstream-gen", "STATISTICS")
    target = providers.resolve("local", None, {})
    exchange = Exchange(providers.dialect(target.api).Decoder("p", "m"), Limits(), 0.0, "")
    assert list(sample) == ["time", *report.record("p", "m", exchange, 1.0, status=0)]


# Examples.


@needs_bash
@pytest.mark.parametrize("block", SESSIONS, ids=[block.where for block in SESSIONS])
def test_examples_run(block, tmp_path):
    script = "\n".join(step.command for step in docs.steps(block.text))
    assert not docs.unknown_options(script)
    missing = [name for name in docs.programs(script) if name != "llmstream" and not _is_there(name)]
    if missing:
        pytest.skip(f"{', '.join(missing)} is not installed")
    if re.search(r"-m local\b", script) and not _has_embedded_model():
        pytest.skip("the embedded model is not installed")
    assert docs.mismatches(block.text, tmp_path) == []


def _is_there(program: str) -> bool:
    return subprocess.run(["bash", "-c", 'type "$0" > /dev/null 2>&1', program]).returncode == 0


def _has_embedded_model() -> bool:
    return importlib.util.find_spec("xllamacpp") is not None


@needs_bash
def test_scripts_of_the_readme_parse_and_name_options_that_exist():
    for block in README:
        if block.kind == "sh":
            done = subprocess.run(["bash", "-n", "-c", block.text], capture_output=True, text=True)
            assert (done.stderr, docs.unknown_options(block.text)) == ("", []), block.where


def test_every_page_has_examples():
    assert {block.where.split(".1:")[0] for block in EXAMPLES} == set(PAGES)


# The reading itself: it must find what is wrong.


@needs_bash
@pytest.mark.parametrize(
    ("session", "right"),
    [
        ("$ echo a; echo b\na\nb\n", True),
        ("$ echo a; echo b\n...\n", True),
        ("$ echo a; echo b\na\n...\n", True),
        ("$ echo a; echo b\n...\nb\n", True),
        ("$ echo a b c; echo d\na ... c\nd\n", True),
        ("$ echo a b c; echo d\na ... d\n", False),
        ("$ echo a\nb\n", False),
        ("$ echo a\na\n$ echo b\n", False),
        ("$ echo a\n$ echo b\n", True),
        ("$ false\n", False),
        ("$ false | true\n", False),
        ("$ false\n$ echo $?\n1\n", True),
        ("$ echo 'a\n> b'\na\nb\n", True),
        ("$ llmstream gen Hello\nThe Rhine, the Danube and the Loire.\n...\n", True),
        (
            "$ llmstream gen\nllmstream gen: the prompt is empty: give one as an operand or on stdin\n$ echo $?\n2\n",
            True,
        ),
        ("$ exit 3\n", False),
    ],
)
def test_a_session_is_compared(session, right, tmp_path):
    assert (docs.mismatches(session, tmp_path) == []) is right


@pytest.mark.parametrize(
    ("script", "unknown"),
    [
        ("llmstream gen -nu --seed -1 'x --y'", []),
        ("llmstream gen -t.5 -m openai/x -s '-z' -- --odd", []),
        ("llmstream gen --nope", ["--nope"]),
        ("llmstream gen -nz", ["-z"]),
        ("llmstream --nope", ["--nope"]),
        ("a | .venv/bin/llmstream gen --nope=1 | jq -r .x", ["--nope"]),
        ("x=$(llmstream gen -n --nope)\ncurl -N", ["--nope"]),
        ("llmstream gen \\\n  --nope # --comment\n# it's --fine", ["--nope"]),
    ],
)
def test_options_in_a_script_are_looked_up(script, unknown):
    assert docs.unknown_options(script) == unknown


# llmstream man.


@pytest.mark.skipif(not shutil.which("man") and not shutil.which("mandoc"), reason="man is not installed")
def test_man_writes_plain_text_into_a_pipe(run):
    done = run("man", "gen", env=environment(MAN_KEEP_FORMATTING="1", MANPAGER="less", PAGER="less"))
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"--first-token-timeout" in done.stdout
    assert not re.search(rb"[\x08\x1b]", done.stdout)


@pytest.mark.parametrize("topic", ["nope", "../llmstream", "/etc/passwd"])
def test_man_of_what_has_no_page(run, topic):
    done = run("man", topic)
    message = f"llmstream man: no manual page for {topic!r}: llmstream --help lists the commands\n"
    assert (done.stdout, done.stderr.decode(), done.returncode) == (b"", message, 2)


def test_man_without_a_viewer(run):
    done = run("man", "gen", env=environment(PATH=""))
    path = ROOT / "man" / "llmstream-gen.1"
    message = f"llmstream man: neither man nor mandoc is installed: the page is {path}; --help says it in short\n"
    assert (done.stdout, done.stderr.decode(), done.returncode) == (b"", message, 2)


@pytest.mark.parametrize("layout", ["llmstream/man", "man"])  # of the wheel, of the checkout
def test_man_finds_the_pages_in_both_layouts(run, layout, tmp_path):
    shutil.copytree(ROOT / "llmstream", tmp_path / "llmstream", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "man", tmp_path / layout)
    done = run("man", env=environment(PYTHONPATH=str(tmp_path), PATH=""), cwd=tmp_path)
    assert f"the page is {tmp_path / layout / 'llmstream.1'};".encode() in done.stderr
