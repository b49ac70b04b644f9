"""The examples of the manual pages and of the README do what they say."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from .conftest import ROOT
from .support import docs, examples, needs

README = examples.fenced((ROOT / "README.md").read_text(), "README.md")
EXAMPLES = [block for name in docs.COMMAND_PAGES for block in examples.of_page(name)]
TOPICS = [block for name in docs.TOPIC_PAGES for block in examples.of_topic(name)]
SESSIONS = EXAMPLES + [block for block in TOPICS + README if block.kind == "console"]
needs_bash = needs.program("bash")


@pytest.mark.slow
@needs_bash
@pytest.mark.parametrize("block", SESSIONS, ids=[block.where for block in SESSIONS])
def test_examples_run(block, tmp_path):
    script = "\n".join(step.command for step in examples.steps(block.text))
    assert not examples.unknown_options(script)
    if "llmstream man" in script and not shutil.which("man") and not shutil.which("mandoc"):
        pytest.skip("man is not installed: apt install man-db")
    missing = [name for name in examples.programs(script) if name != "llmstream" and not _is_there(name)]
    if missing:
        pytest.skip(f"{', '.join(sorted(missing))}: not installed")
    if re.search(r"-m local\b", script) and not needs.has("xllamacpp"):
        pytest.skip("xllamacpp is not installed: pip install '.[local]'")
    if re.search("--max-cost|map --dry-run", script) and not needs.has("genai_prices"):
        pytest.skip("genai_prices is not installed: pip install '.[prices]'")
    assert examples.mismatches(block.text, tmp_path) == []


PROGRAMS = [block for block in TOPICS + README if block.kind == "python"]


@pytest.mark.parametrize("block", PROGRAMS, ids=[block.where for block in PROGRAMS])
def test_programs_print_what_their_comments_say(block, tmp_path):
    assert "# -> " in block.text
    assert examples.wrong_output(block.text, tmp_path) == ""


def _is_there(program: str) -> bool:
    return subprocess.run(["bash", "-c", 'type "$0" > /dev/null 2>&1', program]).returncode == 0


@needs_bash
def test_scripts_of_the_readme_parse_and_name_options_that_exist():
    for block in README:
        assert block.kind not in ("bash", "shell", "zsh"), f"{block.where}: console is run, sh is parsed"
        if block.kind == "sh":
            done = subprocess.run(["bash", "-n", "-c", block.text], capture_output=True, text=True)
            assert (done.stderr, examples.unknown_options(block.text)) == ("", []), block.where


def test_every_page_has_examples():
    assert {block.where.split(".1:")[0] for block in EXAMPLES} == set(docs.COMMAND_PAGES)


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
def test_the_output_of_a_session_is_compared(session, right, tmp_path):
    assert (examples.mismatches(session, tmp_path) == []) is right


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
    assert examples.unknown_options(script) == unknown


@pytest.mark.parametrize(
    ("program", "right"),
    [
        ("print('a\\nb')\n# -> a\n# -> b\n", True),
        ("print('a\\nb')\n# -> a\n# -> ...\n", True),
        ("print('a\\nb')\n# -> a\n", False),
        ("# -> a\n", False),
        ("print('a')\nraise SystemExit(1)\n# -> a\n", False),
    ],
)
def test_the_output_of_a_program_is_compared(program, right, tmp_path):
    assert (examples.wrong_output(program, tmp_path) == "") is right
