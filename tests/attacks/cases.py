"""Attacks that have their own tests, which the table runs and counts."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import xml.etree.ElementTree as Xml
from typing import NamedTuple

from ..conftest import ROOT

SERVE = "tests/serve/test"


class Cases(NamedTuple):
    """An attack, its bound, and its tests, each as the beginning of pytest's name."""

    name: str
    bound: str
    tests: tuple[str, ...]


CASES = (
    Cases("request smuggling", "one reading", (f"{SERVE}_smuggling.py",)),
    Cases("incomplete requests", "20 s, 60 s", (f"{SERVE}_connection.py::test_an_incomplete_request_times_out",)),
    Cases("refused bodies and clients", "2 s", (f"{SERVE}_refusals.py",)),
    Cases(
        "DNS rebinding", "421",
        (f"{SERVE}_guard.py::test_hosts", f"{SERVE}_guard.py::test_a_request_has_exactly_one_host"),
    ),
    Cases(
        "CSRF", "403, 415",
        (
            f"{SERVE}_guard.py::test_origins",
            f"{SERVE}_guard.py::test_preflight_requests_pass_for_allowed_origins_only",
            f"{SERVE}_guard.py::test_content_types_of_html_forms_are_rejected",
        ),
    ),
    Cases(
        "scripts in answers (XSS)", "text",
        (
            f"{SERVE}_page_text.py::test_html_of_a_model_is_shown_as_text",
            f"{SERVE}_page.py::test_scripts_from_elsewhere_do_not_run",
        ),
    ),
    Cases("long answers on the page", "steps", (f"{SERVE}_page_size.py",)),
    Cases(
        "regexes that take years: until", "2 s of CPU",
        (
            "tests/commands/test_until.py::test_a_pattern_that_would_match_for_years_is_given_up",
            "tests/commands/test_until.py::test_a_signal_ends_a_search_at_once",
        ),
    ),
    Cases(
        "the same: gen", "2 s of CPU",
        ("tests/commands/test_gen_until.py::test_a_pattern_that_would_match_for_years_ends_the_answer",),
    ),
    Cases(
        "redirects", "same origin",
        (
            "tests/net/test_generation.py::test_a_redirect_",
            "tests/net/test_configuration.py::test_redirects_keep_to_http",
            "tests/net/test_sdk_faults.py::test_the_token_follows_no_redirect",
        ),
    ),
    Cases("decompression bombs", "not decompressed", ("tests/attacks/test_bombs.py",)),
)  # fmt: skip


def count(cases: Cases) -> tuple[int, int]:
    """Runs the tests of an attack; returns how many there are, and how many did not pass (one that is skipped, too)."""
    files = {test.partition("::")[0] for test in cases.tests}
    names = " or ".join(name for test in cases.tests if (name := test.partition("::")[2]))
    with tempfile.NamedTemporaryFile(suffix=".xml") as report:
        command = [sys.executable, "-m", "pytest", "-q", "-n0", f"--junitxml={report.name}", "-k", names, *files]
        subprocess.run(command, cwd=ROOT, capture_output=True)
        results = list(Xml.parse(report).iter("testcase"))
    return len(results), sum(len(result) > 0 for result in results)
