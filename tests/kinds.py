"""The kinds of faults that users of such tools meet, and the examples of each that are tried.

    python -m tests.kinds [KIND ...]

runs the tests of each kind, or of those whose name begins with a KIND, and prints a table: the kind, the examples tried
and how many of them are right. The status is 1 if one is wrong, or if a kind has none.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# By kind: tests as pytest selects them, FILE or FILE::PART, where PART is in the test's name.
KINDS: dict[str, tuple[str, ...]] = {
    "repair: valid strings and numbers are left alone": (
        "core/json/test_repair.py",
        "commands/test_json_objects.py::repair",
        "fuzz/test_json.py",
    ),
    "recovery, and braces in prose": ("core/json/test_objects.py", "commands/test_json_objects.py::prose"),
    "encodings: byte order marks, line ends, UTF-16": (
        "core/test_text.py",
        "core/markdown",
        "core/stop/test_until.py::byte_order",
        "commands::utf",
        "commands::byte_order",
    ),
    "arrays that end an answer": ("core/stop/test_conditions.py::json",),
    "time of each core: as many steps as characters": ("core/json/test_linear.py",),
    "waits: Retry-After, dates, limits of retries": ("core/test_retry.py",),
    "clocks: a stopped process, thinking, silence": (
        "net/test_patience.py",
        "net/test_loop.py::alarm",
        "test_process.py::stopped",
    ),
    "configuration of the network, and secrets in it": ("net/test_configuration.py", "core/test_secrets.py"),
    "resources: files, threads": ("net/test_sdk_faults.py::files", "api::threads_left", "test_stdio.py::open_files"),
    "blocking work in an event loop": ("api/test_astream.py::key_command", "api/test_astream.py::in_a_thread"),
    "serve: busy loops, slow readers": ("serve/test_answer_response.py", "serve/test_connection.py"),
    "serve: clients' values": ("serve/test_openapi.py", "serve/test_completions.py"),
    "recordings and keys": ("net/test_recording.py",),
    "rows: files are read once, none is opened for a record": ("commands/test_map_options.py",),
    "arguments: bytes, types": ("api/test_stream.py::value", "commands/test_gen.py::utf8", "api/test_filters.py::type"),
    "operands: unreadable files, descriptors that do not block": ("commands/test_operands.py",),
    "the model's download": ("net/test_model_cache.py", "net/test_package.py", "net/test_indexes.py"),
    "templates": ("batch/test_template.py", "batch/test_rows.py", "batch/test_record_splitter.py"),
    "models: what is said of keys and aliases": ("commands/test_models.py",),
    "doors: every option makes the same request at each": ("request/test_doors.py",),
    "tools: files, programs that hang, turns without end": (
        "commands/test_run_tools.py",
        "commands/test_tool_files.py",
    ),
    "answers that are paused": ("commands/test_pauses.py", "api/test_pauses.py"),
    "checks that would take for ever": ("commands/test_check.py::for_ever", "commands/test_check.py::slow_check"),
    "guesses of names": ("test_errors.py", "commands/test_gen.py::guessed"),
}


class Outcomes:
    """A plugin that counts the outcomes of tests by kind."""

    def __init__(self, kinds: dict[str, tuple[str, ...]]) -> None:
        self._kinds = kinds
        self.tried: Counter[str] = Counter()
        self.right: Counter[str] = Counter()

    def _of(self, node: str) -> list[str]:
        return [kind for kind, selectors in self._kinds.items() if any(matches(node, s) for s in selectors)]

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if self._of(item.nodeid)]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.failed:
            for kind in self._of(report.nodeid):
                self.tried[kind] += 1
                self.right[kind] += report.passed


def matches(node: str, selector: str) -> bool:
    """Whether a selector has the test with this id: its path begins so, and PART is in its name."""
    path, _, name = node.partition("::")
    place, _, part = selector.partition("::")
    return path.startswith(f"tests/{place}") and part in name


def main() -> int:
    begin = tuple(sys.argv[1:])
    kinds = {kind: selectors for kind, selectors in KINDS.items() if not begin or kind.startswith(begin)}
    places = {f"tests/{selector.partition('::')[0]}" for selectors in kinds.values() for selector in selectors}
    existing = sorted(place for place in places if (ROOT / place).exists())
    os.chdir(ROOT)
    outcomes = Outcomes(kinds)
    sink = open(os.devnull, "w")  # noqa: SIM115 - for the run's own report
    stdout, sys.stdout = sys.stdout, sink
    try:
        pytest.main(["-n0", "-q", "-p", "no:cacheprovider", *existing], plugins=[outcomes])
    finally:
        sys.stdout = stdout
    print(f"{'kind':70} {'tried':>6} {'right':>6}")
    for kind in kinds:
        print(f"{kind:70} {outcomes.tried[kind]:6} {outcomes.right[kind]:6}")
    return int(any(not outcomes.tried[kind] or outcomes.right[kind] < outcomes.tried[kind] for kind in kinds))


if __name__ == "__main__":
    sys.exit(main())
