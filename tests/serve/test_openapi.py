"""/openapi.json under schemathesis: no request causes a 500, and every response is as described."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ..support.serving import ScriptedServer

PROGRAM = shutil.which("schemathesis", path=str(Path(sys.executable).parent)) or shutil.which("schemathesis")


@pytest.mark.slow
@pytest.mark.skipif(not PROGRAM, reason="schemathesis is not installed: pip install '.[test]'")
def test_schemathesis_finds_no_error(tmp_path):
    with ScriptedServer(token="sesame", max_body_bytes=20_000) as server:
        command = [PROGRAM, "run", f"{server.url}/openapi.json", "--max-examples=15", "--seed=1", "--no-color"]
        command += ["--phases=examples,coverage,fuzzing", "--checks=all", "--generation-database=none"]
        command += [
            "--exclude-checks=positive_data_acceptance"
        ]  # valid bodies may ask for what is not supported, as tool results
        command += ["--header", "Authorization: Bearer sesame"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        server.settle()
    assert done.returncode == 0, done.stdout
