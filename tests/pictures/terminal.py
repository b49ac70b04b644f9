"""A moving picture of pipes at work, as SVG: each piece of output appears when it really came.

    python -m tests.pictures.terminal [FILE]

runs the commands below on a terminal of their own, with the embedded model, and writes FILE (terminal.svg beside this
program). Typing is made up, all times after Return are the run's.
"""

from __future__ import annotations

import os
import pty
import re
import select
import sys
import time
from html import escape
from pathlib import Path
from typing import NamedTuple

from ..conftest import environment

COMMANDS = (
    "llmstream --help",
    "llmstream gen -m local --json 'Reply with a JSON object with keys name and age.'",
    "llmstream gen -m local --json 'Reply with a JSON object with keys name and age.' | llmstream fields -r -1 name",
    "llmstream gen -m local --max-tokens 200 'Why is the sea salty?' | llmstream until -e '[.!?]'",
    "printf 'red\\nblue\\n' | llmstream map -q -m local --max-tokens 12 'What is {}?' | jq -c '[.index, .text]'",
)
COLUMNS, WIDTH, HEIGHT, MARGIN = 113, 8.4, 20, 18  # pixels of a character, and around all
KEY, PAUSE, REST = 0.015, 0.7, 4.0  # seconds: a key, before Return, before it begins again
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Piece(NamedTuple):
    """Text that appears at a time, in a place."""

    at: float
    line: int
    column: int
    text: str
    kind: str


def run(command: str) -> list[tuple[float, str]]:
    """What a command writes to its terminal, and when, in seconds since it began."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = environment(TERM="xterm-256color", COLUMNS=str(COLUMNS), PATH=path)
    pid, fd = pty.fork()
    if pid == 0:
        os.execvpe("bash", ["bash", "-c", command], env)
    begun, output = time.monotonic(), []
    while True:
        select.select([fd], [], [])
        try:
            data = os.read(fd, 65536)
        except OSError:  # EIO: nobody has the terminal open any more
            break
        output.append((time.monotonic() - begun, ESCAPES.sub("", data.decode(errors="replace")).replace("\r\n", "\n")))
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(fd)
    if status:
        sys.exit(f"{command}: status {status}: {output}")
    return output


def _rows(text: str) -> list[str]:
    """A text in rows of the terminal."""
    return [text[at : at + COLUMNS] for at in range(0, len(text), COLUMNS)]


class Screen:
    """Pieces of text, put where a terminal would have them."""

    def __init__(self) -> None:
        self.pieces: list[Piece] = []
        self.now = 0.5
        self._line = self._column = 0

    def type(self, command: str) -> None:
        self._put("$ ", "prompt")
        for keys in re.findall(r".{1,4}", command):
            self.now += KEY * len(keys)
            self._put(keys, "typed")
        self.now += PAUSE
        self._put("\n", "typed")

    def show(self, output: list[tuple[float, str]]) -> None:
        begun = self.now
        for at, text in output:
            self.now = begun + at
            self._put(text, "note" if text.startswith("llmstream") else "said")
        if self._column:
            self._put("\n", "said")
        self.now += PAUSE

    def _put(self, text: str, kind: str) -> None:
        for part in re.findall(r"\n|[^\n]+", text):
            if part == "\n":
                self._line, self._column = self._line + 1, 0
                continue
            first, *more = part[: COLUMNS - self._column], *_rows(part[COLUMNS - self._column :])
            self._at(first, kind)
            for row in more:
                self._line, self._column = self._line + 1, 0
                self._at(row, kind)

    def _at(self, text: str, kind: str) -> None:
        if text:
            self.pieces.append(Piece(self.now, self._line, self._column, text, kind))
            self._column += len(text)

    def svg(self) -> str:
        """The whole as one picture that repeats itself; where pictures do not move, all of it is there."""
        whole = self.now + REST
        width, height = round(COLUMNS * WIDTH + 2 * MARGIN), self._line * HEIGHT + 2 * MARGIN
        style = f"""
            text {{ font: 14px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }}
            text {{ white-space: pre; fill: #d8dee9; }}
            .prompt {{ fill: #7fb069; }} .typed {{ fill: #ffffff; }} .note {{ fill: #8a93a3; }}
            @media (prefers-reduced-motion: no-preference) {{ tspan {{ animation: {whole:.2f}s step-end infinite; }} }}
        """
        frames: list[str] = []
        lines: dict[int, tuple[str, int]] = {}  # what stands in each line, and its columns
        for number, piece in enumerate(self.pieces):
            share = 100 * piece.at / whole
            frames.append(f"@keyframes k{number}{{0%{{visibility:hidden}}{share:.3f}%{{visibility:visible}}}}")
            spans, columns = lines.get(piece.line, ("", 0))
            spans += f'<tspan class="{piece.kind}" style="animation-name:k{number}">{escape(piece.text)}</tspan>'
            lines[piece.line] = spans, columns + len(piece.text)
        # The length of a whole line is set, and its letters are scaled: no font makes them overlap or leaves gaps.
        rows = [
            f'<text x="{MARGIN}" y="{MARGIN + (line + 0.75) * HEIGHT:.0f}" textLength="{columns * WIDTH:.1f}" '
            f'lengthAdjust="spacingAndGlyphs">{spans}</text>'
            for line, (spans, columns) in lines.items()
        ]
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}">',
                "<title>Pipes of llmstream in a terminal</title>",
                f"<style>{style}{''.join(frames)}</style>",
                f'<rect width="{width}" height="{height}" rx="10" fill="#20242c"/>',
                *rows,
                "</svg>\n",
            ]
        )


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "terminal.svg"
    screen = Screen()
    for command in COMMANDS:
        screen.type(command)
        screen.show(run(command))
    path.write_text(screen.svg(), encoding="utf-8")
    print(f"{path}: {len(screen.pieces)} pieces in {screen.now:.1f} s")


if __name__ == "__main__":
    main()
