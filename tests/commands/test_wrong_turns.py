"""What looks right and is not: file names as prompts, a loop's stdin, two prompt files. A line on stderr says so."""

from __future__ import annotations

import os
import pty
import subprocess

import pytest

from ..conftest import LLMSTREAM, environment
from ..support.limits import RUN_S
from ..support.loopback import Provider, chat, head

ENV = environment(LLMSTREAM_MODEL="ollama/m")


def gen(*args: str, folder: os.PathLike[str], input: bytes | None = None) -> tuple[str, str, int]:
    """Runs gen --dry-run in a folder: its output, its stderr, its status."""
    stdin = {"stdin": subprocess.DEVNULL} if input is None else {"input": input}
    command = [*LLMSTREAM, "gen", "--dry-run", *args]
    done = subprocess.run(command, cwd=folder, env=ENV, capture_output=True, timeout=RUN_S, **stdin)
    return done.stdout.decode(), done.stderr.decode(), done.returncode


@pytest.fixture
def folder(tmp_path):
    for name in ("a.md", "b.md", "c.md"):
        (tmp_path / name).write_text("text\n")
    return tmp_path


@pytest.mark.parametrize(
    ("args", "note"),
    [
        (
            ["Sum", "a.md"],
            "a.md is a file, but only its name is in the prompt: --attach a.md attaches it, < a.md reads it",
        ),
        (
            ["-a", "a.md", "b.md", "c.md", "Sum"],  # as the shell expands -a *.md
            "b.md and 1 more are files, but only their names are in the prompt: --attach b.md attaches it, < b.md reads it",  # noqa: E501
        ),
    ],
)
def test_a_file_s_name_in_the_prompt_is_noted(folder, args, note):
    assert gen(*args, folder=folder)[1:] == (f"llmstream gen: {note}\n", 0)


def test_words_and_folders_are_no_files(folder):
    (folder / "docs").mkdir()
    assert gen("What", "is", "docs", "a.m", "?", folder=folder)[1:] == ("", 0)


def test_a_file_s_name_beside_a_prompt_file_is_noted(folder):
    (folder / "p.md").write_text("Translate:")
    assert gen("-f", "p.md", "a.md", folder=folder)[1].startswith("llmstream gen: a.md is a file, but only its name")


@pytest.mark.parametrize(("args", "prompt"), [(["-"], "from stdin"), (["Sum:", "-"], "Sum:\\n\\nfrom stdin")])
def test_a_hyphen_is_stdin(folder, args, prompt):
    out, err, status = gen(*args, folder=folder, input=b"from stdin\n")
    assert f'"content": "{prompt}"' in out
    assert (err, status) == ("", 0)


EMPTY = "llmstream gen: stdin is empty: "


@pytest.mark.parametrize(
    ("args", "note"),
    [
        (["Sum"], "the prompt is only the operand"),
        (["Sum", "it"], "the prompt is only the operands"),
        (["Sum", "-"], "the prompt is only the operand"),
        (["-f", "a.md"], "the prompt is only a.md"),
        (["-f", "a.md", "Sum"], "the prompt is only a.md and the operands"),
        (["-q", "Sum"], ""),
        (["-n", "Sum"], ""),
    ],
)
def test_an_empty_stdin_is_noted(folder, args, note):
    expected = f"{EMPTY}{note}\n" if note else ""
    assert gen(*args, folder=folder, input=b"")[1:] == (expected, 0)
    (folder / "empty").touch()
    with open(folder / "empty", "rb") as empty:
        done = subprocess.run(
            [*LLMSTREAM, "gen", "--dry-run", *args],
            cwd=folder,
            env=ENV,
            stdin=empty,
            capture_output=True,
            timeout=RUN_S,
        )
    assert (done.stderr.decode(), done.returncode) == (expected, 0)
    assert gen(*args, folder=folder)[1:] == ("", 0)


def test_a_closed_stdin_is_not_noted(folder):
    command = ["sh", "-c", '"$@" <&-', "sh", *LLMSTREAM, "gen", "--dry-run", "Sum"]
    done = subprocess.run(command, cwd=folder, env=ENV, capture_output=True, timeout=RUN_S)
    assert (done.stderr, done.returncode) == (b"", 0)


def test_the_end_of_a_loop_s_file_is_not_noted(folder):
    script = 'while read -r line; do "$@" gen --dry-run "$line"; done < a.md'
    command = ["sh", "-c", script, "sh", *LLMSTREAM]
    done = subprocess.run(command, cwd=folder, env=ENV, capture_output=True, timeout=RUN_S)
    assert b"stdin is empty" not in done.stderr


def test_a_place_for_an_empty_stdin_is_an_error(folder):
    (folder / "p.md").write_text("Sum:\n{{stdin}}\n")
    reason = "p.md:2: {{stdin}} has no value: stdin is empty: has the program before it failed?"
    assert gen("-f", "p.md", folder=folder, input=b"")[1:] == (f"llmstream gen: {reason}\n", 2)
    assert gen("-f", "p.md", folder=folder)[1:] == ("", 0)  # /dev/null is empty on purpose


@pytest.mark.parametrize("command", ["gen", "map"])
def test_a_file_s_name_as_the_system_prompt_is_noted(folder, command):
    note = "a.md is a file, but only its name is the system prompt: --system @a.md reads it\n"
    for args, expected in ((["-s", "a.md"], f"llmstream {command}: {note}"), (["-s", "@a.md"], ""), (["-s", "a"], "")):
        done = subprocess.run(
            [*LLMSTREAM, command, "--dry-run", *args, *(["Hi"] if command == "gen" else [])],
            cwd=folder, env=ENV, capture_output=True, timeout=RUN_S, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert [line for line in done.stderr.decode().splitlines(True) if "system" in line] == [expected] * bool(
            expected
        )


def test_a_hyphen_and_n_exclude_each_other(folder):
    _, err, status = gen("-n", "-", folder=folder, input=b"from stdin\n")
    assert (err, status) == (
        "llmstream gen: - cannot read stdin, which another option reads or -n excludes: leave - out\n",
        2,
    )


def test_two_prompt_files_are_refused(folder):
    _, err, status = gen("-f", "a.md", "-f", "b.md", folder=folder)
    assert (err, status) == (
        "llmstream gen: there can be one prompt file, not a.md and b.md: leave one -f out\n",
        2,
    )


def test_a_loop_whose_input_would_be_read_is_told(folder):
    (folder / "lines").write_text("a\nb\nc\n")
    script = 'while read -r line; do "$@" gen --dry-run "$line"; done < lines'
    command = ["sh", "-c", script, "sh", *LLMSTREAM]
    done = subprocess.run(command, cwd=folder, env=ENV, capture_output=True, timeout=RUN_S)
    assert done.stdout.count(b"POST") == 1
    assert done.stderr.decode() == (
        "llmstream gen: the rest of stdin follows the prompt: in a loop that reads it, -n leaves it alone\n"
    )


def test_the_name_of_a_file_of_prompts_is_no_template(folder):
    done = subprocess.run(
        [*LLMSTREAM, "map", "a.md"], cwd=folder, env=ENV, capture_output=True, timeout=RUN_S, input=b""
    )
    assert done.stderr.decode().startswith(
        "llmstream map: a.md is a file, but its name is the template here: < a.md reads prompts from it\n"
    )


def line_on_a_terminal(folder: os.PathLike[str], *args: str) -> str:
    """Runs a command whose stdin and stderr are a terminal; returns the first line that it writes there."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*LLMSTREAM, *args], cwd=folder, env=ENV, stdin=theirs, stdout=subprocess.DEVNULL, stderr=theirs
    )
    os.close(theirs)
    shown = b""
    while b"\n" not in shown:
        shown += os.read(ours, 1024)
    process.kill()
    process.wait(RUN_S)
    os.close(ours)
    return shown.decode().strip()


def test_fields_on_a_terminal_says_at_once_what_it_waits_for(folder):
    shown = line_on_a_terminal(folder, "fields", "title", "a.md")
    hint = "a.md is a file: use llmstream fields PATH < a.md"
    assert shown == f"llmstream fields: type or paste JSON, then Ctrl-D: {hint}"


@pytest.mark.parametrize(
    ("args", "what"),
    [
        (["gen"], "the prompt"),
        (["map"], "prompts, one a line"),
        (["fields"], "JSON"),
        (["json-objects"], "JSON"),
        (["code"], "Markdown"),
        (["pretty"], "Markdown"),
        (["text"], "a stream"),
        (["until", "--lines", "1"], "text"),
    ],
)
def test_each_command_says_what_it_reads_from_a_terminal(folder, args, what):
    shown = line_on_a_terminal(folder, *args)
    assert shown == f"llmstream {args[0]}: type or paste {what}, then Ctrl-D"


@pytest.mark.parametrize("name", ["zzz9", "foo/bar"])
def test_an_unknown_model_is_a_short_line(invoke, name):
    done = invoke("gen", "-m", name, "Hi", env=ENV)
    assert done.returncode == 2
    assert done.stderr.endswith(b": llmstream models lists the providers\n")
    assert len(done.stderr) < 160


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gpt9", "LLMSTREAM_MODEL: cannot tell the provider of model 'gpt9': "),
        ("foo/bar", "LLMSTREAM_MODEL: unknown provider 'foo': "),
        ("groq", "LLMSTREAM_MODEL: groq has no default model: use -m groq/MODEL\n"),
        ("replay:", "LLMSTREAM_MODEL: replay: lacks the name of a recording: "),
    ],
)
def test_a_wrong_default_model_says_where_its_name_comes_from(invoke, name, message):
    done = invoke("gen", "Hi", env=environment(LLMSTREAM_MODEL=name, GROQ_API_KEY="k"))
    assert done.returncode == 2
    assert done.stderr.decode().startswith(f"llmstream gen: {message}")
    named = invoke("gen", "-m", name, "Hi", env=environment(LLMSTREAM_MODEL=name, GROQ_API_KEY="k"))
    assert named.stderr.decode().startswith(f"llmstream gen: {message.removeprefix('LLMSTREAM_MODEL: ')}")


def test_a_wrong_model_of_the_configuration_says_where_it_stands(invoke, tmp_path):
    config = tmp_path / "c.toml"
    for name, message in [
        ("gpt9", f"{config}:2: model: cannot tell the provider of model 'gpt9': "),
        ("groq", "the model of the configuration: groq has no default model: use -m groq/MODEL\n"),
    ]:
        config.write_text(f'\nmodel = "{name}"\n')
        done = invoke("gen", "Hi", env=environment(LLMSTREAM_CONFIG=str(config), GROQ_API_KEY="k"))
        assert done.returncode == 2
        assert done.stderr.decode().startswith(f"llmstream gen: {message}")


def test_the_recording_that_is_played_is_not_overwritten(invoke, tmp_path):
    path = tmp_path / "r"
    with Provider([head(), *chat("Hello")]) as provider:
        invoke("gen", "--record", str(path), "-m", "openai/m", "Hi", url=provider.url)
    before = path.read_bytes()
    done = invoke("gen", "-m", f"replay:{path}", "--record", str(path), "Hi", env=ENV)
    assert (done.stdout, done.returncode) == (b"", 2)
    assert done.stderr.decode() == (
        f"llmstream gen: {path} is the recording that is played: --record needs another file\n"
    )
    assert path.read_bytes() == before
