"""`pretty` and `gen --pretty` as their users run them: in pipes, and on a terminal that tmux keeps."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ..conftest import LLMSTREAM, at, environment
from ..support import screen
from ..support.limits import WAIT_S
from ..support.loopback import Provider, chat, head

MARKDOWN = b"# One\n\nSome **bold**\x1b[31m text.\n- a\n- b\n\n```py\nx = 1\n```\n"
DRAWN = ["One", "", "Some bold^[[31m text.", "• a", "• b", "", "╭─ py ───", "x = 1", "╰────────"]


def short(rows: list[str]) -> list[str]:
    """The rows, with the lines around code shortened."""
    return [row[:9] if row[:1] in "╭╰" else row for row in rows]


@pytest.mark.parametrize("args", [[], ["--color", "never"], ["--color", "auto"]])
def test_in_a_pipe_everything_is_copied_as_it_came(invoke, args):
    data = MARKDOWN + b"\xff\r\n\x00"
    done = invoke("pretty", *args, input=data)
    assert (done.stdout, done.stderr, done.returncode) == (data, b"", 0)


def test_always_draws_in_a_pipe_too(invoke):
    done = invoke("pretty", "--color", "always", input=MARKDOWN, env=environment(COLUMNS="30"))
    assert b"\x1b[1mbold\x1b[0m^[[31m text." in done.stdout
    assert done.stdout.count(b"\n") == len(DRAWN)
    done = invoke("pretty", "--color", "always", input=MARKDOWN, env=environment(NO_COLOR="1"))
    assert b"\x1b[1mbold\x1b[0m" in done.stdout
    assert b"\x1b[35m" not in done.stdout


def test_files_are_one_text_and_one_that_cannot_be_read_is_noted(invoke, tmp_path):
    (tmp_path / "a").write_bytes(b"*a")
    (tmp_path / "b").write_bytes(b"b*\n")
    done = invoke("pretty", "--color", "always", str(tmp_path / "a"), str(tmp_path / "none"), str(tmp_path / "b"))
    assert (done.stdout, done.returncode) == (b"\x1b[3mab\x1b[0m\n", 2)
    assert done.stderr.count(b"\n") == 1


def test_without_the_extra_it_says_what_to_install():
    code = "import sys; sys.modules['rich'] = None; from llmstream.__main__ import main; main()"
    command = [sys.executable, "-c", code, "pretty", "--color", "always"]
    done = subprocess.run(command, input=b"", capture_output=True, env=environment())
    assert (done.stdout, done.returncode) == (b"", 2)
    assert done.stderr == b"llmstream pretty: pretty needs rich: pip install 'llmstream-cli[pretty]'\n"


def test_a_reader_that_leaves_ends_it():
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    command = [*LLMSTREAM, "pretty", "--color", "always"]
    with subprocess.Popen(command, env=environment(), bufsize=0, **pipes) as process:
        process.stdin.write(b"# a\n")
        assert os.read(process.stdout.fileno(), 100).endswith(b"\n")
        process.stdout.close()
        assert process.wait(WAIT_S) == 0


@screen.tmux
def test_on_a_terminal_it_draws(tmp_path):
    (tmp_path / "a.md").write_bytes(MARKDOWN)
    with screen.screen(environment(TERM="xterm"), columns=150) as terminal:
        terminal.run(f"llmstream pretty {tmp_path}/a.md")
        assert short(terminal.output()) == DRAWN
        terminal.run(f"cat {tmp_path}/a.md | llmstream pretty --color never | cat -v | head -n 1")
        assert terminal.output() == ["# One"]


@screen.tmux
def test_ctrl_c_draws_what_has_come_and_ends_the_line():
    with screen.screen(environment(TERM="xterm")) as terminal:
        terminal.run("llmstream pretty")
        terminal.type("some **text**\n")
        terminal._wait(lambda rows: rows.count("some **text**") == 2, ("the draft",))  # typed, and drawn
        terminal.tmux("send-keys", "C-c")
        rows = terminal.output()
        assert "some text" in rows


@screen.tmux
def test_a_process_that_was_stopped_goes_on(tmp_path):
    (tmp_path / "begin").write_text("# One\n\ntwo **three")
    os.mkfifo(tmp_path / "end")
    with screen.screen(environment(TERM="xterm"), columns=150) as terminal:
        terminal.run(f"llmstream pretty {tmp_path}/begin {tmp_path}/end")
        terminal.expect("two **three")
        terminal.tmux("send-keys", "C-z")
        assert "two **three" not in terminal.output()  # the draft is off the screen
        terminal.run("fg")
        with open(tmp_path / "end", "w") as end:
            end.write("**\n")
        assert terminal.output()[-1] == "two three"


@screen.tmux
def test_a_terminal_whose_width_changes_within_a_block(tmp_path):
    words = [f"word{number}" for number in range(20)]
    (tmp_path / "begin").write_text(f"# One\n\n{' '.join(words)}")
    os.mkfifo(tmp_path / "end")
    with screen.screen(environment(TERM="xterm"), columns=60) as terminal:
        terminal.run(f"cat {tmp_path}/begin {tmp_path}/end | llmstream pretty")
        terminal.expect("word19")
        terminal.resize(20)
        with open(tmp_path / "end", "w") as end:
            end.write(" **last**\n")
        rows = terminal.output()
        assert rows[-1].endswith("last")
        assert max(map(len, rows[rows.index("One") :])) <= 20
        assert " ".join(rows[rows.index("One") + 1 :]).split() == [*words, "last"]


@screen.tmux
def test_a_terminal_that_cannot_move_its_cursor_gets_the_text_as_it_is(tmp_path):
    (tmp_path / "a.md").write_bytes(b"# One\n\n- a\n")
    with screen.screen(environment(), columns=150) as terminal:
        terminal.run(f"TERM=dumb; llmstream pretty {tmp_path}/a.md")
        assert terminal.output() == ["# One", "", "- a"]


@screen.tmux
def test_gen_draws_its_answer_and_a_note_stands_on_its_own_line():
    answer = [
        head(),
        *chat("## Two\n\n- *a*\n"),
    ]
    with Provider(answer) as provider, screen.screen(at(provider.url, TERM="xterm")) as terminal:
        terminal.run("llmstream gen -u --pretty -m openai/m Hi")
        rows = terminal.output()
        assert rows[:3] == ["Two", "", "• a"]
        assert rows[3].startswith("llmstream gen: ")
