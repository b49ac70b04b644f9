"""Who tells a cut stream from a whole one: `gen`, scripts on the SDKs, and two peers, before the same faults.

    python -m tests.bench.faults

Each cell is the exit status and whether all of the text that was sent came out. A status of 0 for a fault is a cut
answer passed off as a whole one.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile

from ..support import faults
from ..support.loopback import Provider
from . import gen as clients_of
from . import measure

ROWS = (
    "good, close-delimited",
    "good, then the socket is held open",
    "clean end without an end mark",
    "clean end of chunks without an end mark",
    "end amid chunks",
    "end amid an event",
    "content-length too long",
    "error event after text",
    "error event first, then good",
    "an event that is not JSON",
    "end after the head, then good",
    "RST before the head, then good",
    "200 with HTML",
    "200 with a JSON error",
    "503 Service Unavailable, then good",
    "429, Retry-After: 16 days",
)
TIMEOUT = 20  # seconds; who takes longer hangs


def cell(argv: list[str], env: dict[str, str], fault: faults.Fault) -> str:
    sent = fault.stdout.strip()
    try:
        done = subprocess.run(argv, env=env, capture_output=True, timeout=TIMEOUT, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return "hangs"
    outcome = "text" if sent and sent.encode() in done.stdout else "" if not sent else "lost"
    return f"{done.returncode} {outcome}".strip()


def main() -> None:
    clients_of.install_peers()
    table = {fault.name: fault for fault in faults.rows() if fault.api == "chat"}
    wrong: dict[str, int] = {}
    print(f"faults: {measure.machine()}")
    with tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(ROWS):
            fault = table[name]
            cells = {}
            for client in ("llmstream gen", "openai SDK script", "llm", "llcat"):
                with Provider(*fault.scripts) as provider:
                    clients_of.prepare(provider.url, folder)
                    measures = clients_of.clients(provider.url, folder, clients_of.SHORT)
                    argv, env, _ = measures[client].args
                    cells[client] = cell([*argv, *(fault.args if client == "llmstream gen" else ())], env, fault)
            if not number:
                print(f"{'fault':44}" + "".join(f"{client:>20}" for client in cells))
            print(f"{name:44}" + "".join(f"{text:>20}" for text in cells.values()))
            whole = fault.status == 0
            for client, text in cells.items():
                wrong[client] = wrong.get(client, 0) + ((text[:2].strip() == "0") != whole or "lost" in text)
    print(f"{'told wrongly, or text lost':44}" + "".join(f"{count:>20}" for count in wrong.values()))
    sys.exit(wrong["llmstream gen"] > 0)


if __name__ == "__main__":
    main()
