"""The JSONPath compliance test suite, which is not part of this project: read from a checkout of it where there is one.

Its cases come from https://github.com/jsonpath-standard/jsonpath-compliance-test-suite. `test_rfc9535` has cases of
this project, which always run.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from llmstream.core.json.bulk import BULK
from llmstream.core.json.path import compile_path
from llmstream.errors import UsageError

from .test_fields import bag, fields

ROOT = Path(__file__).parent.parent.parent.parent
FOLDER = Path(os.environ.get("JSONPATH_CTS") or ROOT.parent / "shared/suites/jsonpath-cts")
FILE = FOLDER / "cts.json"
CASES = json.loads(FILE.read_bytes())["tests"] if FILE.is_file() else []
VALID = [case for case in CASES if not case.get("invalid_selector")]
INVALID = [case["selector"] for case in CASES if case.get("invalid_selector")]

pytestmark = pytest.mark.skipif(
    not CASES,
    reason=f"{FILE} is missing: set JSONPATH_CTS to a checkout of jsonpath-standard/jsonpath-compliance-test-suite",
)


def test_the_suite_is_complete():
    """A later suite may have more cases."""
    assert (len(VALID) >= 456, len(INVALID) >= 247) == (True, True)


@pytest.mark.parametrize("case", VALID, ids=lambda case: case["name"])
def test_valid_selectors(case):
    text = json.dumps(case["document"], ensure_ascii=False)
    expected = [bag(zip(paths, values, strict=True)) for paths, values in zip(*_results(case), strict=True)]
    for size in (1, 3, 1 << 20):
        chunks = [text[i : i + size] for i in range(0, len(text), size)]
        if size > len(text):
            chunks = [f"{text}\n{' ' * BULK}"]  # long enough for the fast paths
        matches = fields(chunks, case["selector"])
        assert bag([(path, json.loads(value)) for path, value in matches]) in expected


def _results(case: dict) -> tuple[list, list]:
    """The acceptable results: their lists of paths, and their lists of values."""
    if "results" in case:
        return case["results_paths"], case["results"]
    return [case["result_paths"]], [case["result"]]


@pytest.mark.parametrize("selector", INVALID)
def test_invalid_selectors_are_refused(selector):
    with pytest.raises(UsageError):
        compile_path(selector)
