"""Prints a table of the attacks: python -m tests.attacks [WORD]...

With words, only the attacks whose names have one of them. The status is 1 if one of them did not hold.
"""

from __future__ import annotations

import sys

from . import cases, serve


def main() -> int:
    """Runs the attacks; returns the exit status."""
    words = sys.argv[1:]
    attacks = [one for one in serve.ATTACKS if not words or any(word in one.name for word in words)]
    print(f"{'attack':34}{'bound':18}{'answers':18}{'p50 ms':>8}{'p99 ms':>8}{'MB':>6}  held")
    failed = 0
    with serve.running() as server:
        for attack in attacks:
            result = server.measure(attack)
            held = serve.held(attack, result)
            failed += not held
            figures = f"{result.p50:8.1f}{result.p99:8.1f}{result.memory:6.0f}"
            print(
                f"{attack.name:34}{attack.bound:18}{result.answers:18}{figures}  {'yes' if held else 'NO'}", flush=True
            )
    for one in cases.CASES:
        if not words or any(word in one.name for word in words):
            total, bad = cases.count(one)
            failed += bad > 0 or not total
            held = "yes" if total and not bad else "NO"
            print(f"{one.name:34}{one.bound:18}{f'{total} tests':40}  {held}", flush=True)
    print(f"bounds: p99 {serve.MAX_P99_MS} ms, memory {serve.MAX_MEMORY_MB} MB above idle")
    return 1 if failed else 0


sys.exit(main())
