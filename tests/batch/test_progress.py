"""The progress line on a pseudo-terminal, and no progress elsewhere."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest

from ..conftest import environment
from ..support.limits import WAIT_S

START = "import os, sys; from llmstream.batch.progress import Progress\n"
END = "print('tqdm' in sys.modules, 'multiprocessing' in sys.modules, __import__('threading').active_count())"
WITH_TQDM = "True False 1\n"  # END's output: tqdm, but neither its lock between processes nor its thread
WITHOUT_TQDM = "False False 1\n"


class OnTerminal:
    """A program whose stderr is a pseudo-terminal with a number of columns."""

    def __init__(self, code: str, columns: int = 120, **env: str) -> None:
        self.fd, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(
            [sys.executable, "-c", START + code + "\n" + END],
            env=environment(**{"TERM": "xterm", **env}),
            stderr=inner,
            **pipes,
        )
        os.close(inner)

    def read(self) -> str:
        """Reads all that the program draws."""
        data = b""
        try:
            while piece := os.read(self.fd, 65536):
                data += piece
        except OSError:  # EIO: the other side is closed
            pass
        os.close(self.fd)
        return data.decode()

    def stdout(self) -> str:
        with self.process:
            return self.process.communicate(timeout=WAIT_S)[0]


def draw(code: str, columns: int = 120, stdout: str = WITH_TQDM, **env: str) -> str:
    terminal = OnTerminal(code, columns, **env)
    data = terminal.read()
    assert terminal.stdout() == stdout
    assert terminal.process.returncode == 0, data
    return data


def screen(data: str) -> list[str]:
    """Returns the lines as a terminal shows them."""
    lines, column = [""], 0
    for character in data:
        if character == "\r":
            column = 0
        elif character == "\n":
            lines.append("")
        else:
            lines[-1] = lines[-1][:column].ljust(column) + character + lines[-1][column + 1 :]
            column += 1
    return [line.rstrip() for line in lines]


def test_progress_is_drawn_at_most_ten_times_a_second():
    data = draw("p = Progress(1000, False)\nfor i in range(1000): p.update(i, 0, 8, i, None, i / 1000)")
    assert data.count("running") == 10


def test_the_line_has_counts_rate_and_cost():
    code = """
p = Progress(1000, False)
p.update(400, 0, 8, 0, None, 0.0)
p.update(410, 2, 8, 51_234, 0.1234, 2.0)"""
    data = draw(code)
    first, _, second = data.split("\r")[1:4]
    assert first.startswith(" 40%|███")
    assert first.rstrip().endswith("| ? left, 400/1,000, 8 running, 0 tokens")  # prompts of an earlier run give no rate
    assert second.rstrip().endswith(" left, 410/1,000, 2 failed, 8 running, 51.2k tokens, 25.6k/s, $0.1234")
    assert "? left" not in second


def test_the_time_left_counts_finished_prompts_not_draws():
    """One prompt a second, after 900 of an earlier run; the test replaces tqdm's clock."""
    code = """
import time
now = 0.0
time.time = lambda: now
p = Progress(1000, False)
while now < 10:
    p.update(900 + int(now), 0, 8, 0, None, now)
    now += 0.25
p.update(910, 0, 8, 0, None, now)"""
    assert "| 01:30 left, 910/1,000," in draw(code)


def test_the_total_may_be_unknown():
    data = draw("p = Progress(None, False)\np.update(1200, 1, 8, 9_999, 0.0001, 5.0)")
    assert data.split("\r")[1].rstrip() == "00:00, 1,200 done, 1 failed, 8 running, 9,999 tokens, $0.000100"


def test_more_may_be_done_than_the_total_says():
    code = "p = Progress(2, False)\nfor i in range(5): p.update(i, 0, 8, i, None, float(i))"
    assert "4/2, 8 running" in draw(code)


@pytest.mark.parametrize("columns", [1, 10, 20, 40, 80])
def test_no_line_is_longer_than_the_terminal_is_wide(columns):
    code = "for i in range(9): p.update(i * 100, i, 8, i * 1000, 0.5, float(i))"
    for total in (1000, None):
        data = draw(f"p = Progress({total}, False)\n{code}", columns)
        assert data.count("\r") >= 9
        assert max(map(len, data.split("\r"))) <= columns


def test_a_terminal_without_a_width_counts_as_80_columns():
    data = draw("p = Progress(None, False)\np.update(1, 0, 8, 5, 0.1234, 0.0)", columns=0)
    assert data.split("\r")[1] == "00:00, 1 done, 8 running, 5 tokens, $0.1234"
    assert max(map(len, draw("p = Progress(9, False)\np.update(1, 0, 8, 5, None, 0.0)", columns=0).split("\r"))) == 79


def test_a_terminal_that_changes_its_width():
    code = """
import fcntl, struct, termios
p = Progress(9, False)
for now, columns in enumerate((100, 60, 120)):
    fcntl.ioctl(2, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    p.update(1, 0, 8, 5, None, float(now))
    p.hide()
    os.write(2, b"@")
p.close()"""
    assert [len(piece.split("\r")[1]) for piece in draw(code).split("@")[:3]] == [99, 59, 119]


def test_hide_clears_the_line_until_the_next_update():
    code = """
p = Progress(None, False)
p.hide()
p.update(1, 0, 8, 5, None, 0.0)
p.hide()
p.hide()
os.write(2, b"a note\\n")
p.update(2, 0, 8, 5, None, 0.05)
os.write(2, b"another\\n")
p.update(3, 0, 8, 5, None, 0.1)"""
    assert screen(draw(code + "\nos._exit(0)", stdout="")) == [
        "a note",
        "another",
        "00:00, 3 done, 8 running, 5 tokens, 0/s",
    ]
    assert screen(draw(code + "\np.close()\nos.write(2, b'the end')")) == ["a note", "another", "the end"]


GIVES_WAY = """
p = Progress(None, False)
p.update(1, 0, 8, 5, None, 0.0)
p.give_way()
os.write(2, b"a line of a reader")
for now in (0.1, 0.2, 0.25): p.update(2, 0, 8, 5, None, now)"""


def test_the_line_gives_way_until_it_is_quiet_and_is_then_on_a_line_of_its_own():
    shown = screen(draw(GIVES_WAY + "\nos._exit(0)", stdout=""))
    assert shown == ["a line of a reader"]
    code = GIVES_WAY + "\np.update(3, 0, 8, 5, None, 0.31)"
    blanks = " " * 119 + "\r"
    before, _, after = draw(code).partition(f"a line of a reader{blanks}")
    assert "3 done" in after
    assert "3 done" not in before
    with_a_write = GIVES_WAY + "\np.give_way()\np.update(3, 0, 8, 5, None, 0.31)\nos._exit(0)"
    assert screen(draw(with_a_write, stdout="")) == ["a line of a reader"]


def test_the_line_waits_for_a_reader_that_has_not_read_all_but_not_for_ever():
    code = GIVES_WAY + "\nos.write(1, b'x')\np.update(3, 0, 8, 5, None, 1.0)\n"
    assert "3 done" not in draw(code + "os._exit(0)", stdout="x")
    assert "3 done" in draw(code + "p.update(3, 0, 8, 5, None, 1.1)\nos._exit(0)", stdout="x")


def test_after_close_nothing_is_drawn():
    code = (
        "p = Progress(9, False)\np.update(1, 0, 8, 5, None, 0.0)\np.close()\np.update(2, 0, 8, 5, None, 9.0)\np.close()"
    )
    assert screen(draw(code)) == [""]
    assert draw("p = Progress(9, False)\np.close()\np.update(2, 0, 8, 5, None, 9.0)", stdout=WITHOUT_TQDM) == ""


DRAW = "p.update(1, 1, 1, 1, 1.0, 1.0); p.update(2, 1, 1, 1, 1.0, 9.0); p.hide(); p.close()"


@pytest.mark.parametrize("quiet, env", [(True, {}), (False, {"TERM": "dumb"}), (False, {"TERM": ""})])
def test_quiet_or_a_dumb_terminal_draws_nothing_and_imports_no_tqdm(quiet, env):
    assert draw(f"p = Progress(9, {quiet}); {DRAW}", stdout=WITHOUT_TQDM, **env) == ""


def test_without_a_terminal_nothing_is_drawn():
    code = f"{START}p = Progress(9, False); {DRAW}\n{END}"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(TERM="xterm"), capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == (WITHOUT_TQDM, "")


@pytest.mark.parametrize("env", [{}, {"NO_COLOR": "1"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])
def test_no_escapes_and_only_characters_of_the_locale(env):
    data = draw("p = Progress(9, False); p.update(3, 1, 1, 1, 1.0, 1.0)", **env)
    assert "\x1b" not in data
    assert data.isascii() is ("LC_ALL" in env)
    assert "left, 3/9, 1 failed" in data


def test_tqdm_can_be_turned_off_by_its_own_variable():
    assert draw(f"p = Progress(9, False); {DRAW}", TQDM_DISABLE="1") == ""


def test_a_terminal_that_goes_away_is_ignored():
    code = "p = Progress(9, False)\np.update(1, 0, 8, 5, None, 0.0)\nsys.stdin.read(1)\np.update(2, 0, 8, 5, None, 9.0)"
    terminal = OnTerminal(code + "\np.hide()\np.close()")
    assert b"1/9" in os.read(terminal.fd, 65536)
    os.close(terminal.fd)
    assert terminal.process.communicate("x", timeout=WAIT_S)[0] == WITH_TQDM
    assert terminal.process.returncode == 0
