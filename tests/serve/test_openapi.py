"""/openapi.json under schemathesis: no request causes a 500, and every response is as described.

Once with scripted answers, and once with a provider that puts all that it gets into its answer.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ..support.serving import ScriptedServer
from .test_json_body import MODELS, echoing_server

PROGRAM = shutil.which("schemathesis", path=str(Path(sys.executable).parent)) or shutil.which("schemathesis")


def check(url: str, folder: Path, *args: str) -> None:
    """Runs schemathesis against a server; fails with its report."""
    command = [PROGRAM, "run", f"{url}/openapi.json", "--max-examples=15", "--seed=1", "--no-color"]
    command += ["--phases=examples,coverage,fuzzing", "--checks=all", "--generation-database=none"]
    # Valid bodies may ask for what is not supported, as tool results.
    command += ["--exclude-checks=positive_data_acceptance", *args]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not PROGRAM, reason="schemathesis is not installed: pip install '.[test]'")
def test_schemathesis_finds_no_error(tmp_path):
    with ScriptedServer(token="sesame", max_body_bytes=2_000_000) as server:
        check(server.url, tmp_path, "--header", "Authorization: Bearer sesame")
        server.settle()


@pytest.mark.slow
@pytest.mark.skipif(not PROGRAM, reason="schemathesis is not installed: pip install '.[test]'")
@pytest.mark.parametrize("model", MODELS)
def test_schemathesis_finds_no_error_with_a_provider_that_echoes(tmp_path, model):
    with echoing_server(model) as server:
        check(f"http://{server.address}", tmp_path, "--exclude-checks=ignored_auth")
