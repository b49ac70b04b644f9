"""Where the process begins: descriptors and signals first, then the command line."""

from __future__ import annotations

import gc

gc.set_threshold(50_000)  # the imports alone would set it off twenty times, and free nothing

import os  # noqa: E402
import sys  # noqa: E402

from . import signals, stdio  # noqa: E402
from .errors import Signalled  # noqa: E402


def main() -> None:
    """The `llmstream` command."""
    stdio.open_missing()
    signals.catch_signals()
    stdio.take_stdout()
    try:
        from .cli import run

        status = run(sys.argv[1:])
        stdio.end_output()
    except Signalled as signalled:  # while that was loading, too
        signals.restore_default()
        stdio.end_output()
        signals.die_by(signalled.signum)
        raise  # the signal is blocked
    os._exit(status)  # nothing is left to do; taking the interpreter apart would cost 10 ms


if __name__ == "__main__":
    main()
