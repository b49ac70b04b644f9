"""Where the process begins: descriptors and signals first, then the command line."""

from __future__ import annotations

import sys

from . import stdio


def main() -> None:
    """The `llmstream` command."""
    stdio.open_missing()
    stdio.catch_signals()
    from .cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
