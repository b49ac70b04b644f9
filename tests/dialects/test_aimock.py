"""`gen` against aimock, an independent implementation of the three dialects (npm, `@copilotkit/aimock`).

It is installed once, into the user's cache. It cuts text by UTF-16 units, also within characters.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from ..conftest import ROOT, Run
from ..support.limits import INSTALL_S

PACKAGE = "@copilotkit/aimock@1.43.0"
PROGRAM = Path("node_modules/@copilotkit/aimock/dist/cli.js")
FIXTURES = ROOT / "tests" / "support" / "aimock.json"
APIS = ("chat", "responses", "messages")


def install() -> Path:
    """Returns the program's path; skips the tests if node or npm is missing."""
    for tool in ("node", "npm"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed: apt install {'nodejs' if tool == 'node' else tool}")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "llmstream-tests" / PACKAGE.rpartition("/")[2]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # each of xdist's workers comes here
        if not (folder / PROGRAM).exists():
            npm = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), PACKAGE]
            done = subprocess.run(npm, capture_output=True, text=True, timeout=INSTALL_S, cwd=folder)
            if done.returncode:
                pytest.skip(f"npm could not install {PACKAGE}: {done.stderr.strip()[-200:]}")
    return folder / PROGRAM


@pytest.fixture(scope="module")
def url():
    """aimock's address; it serves `aimock.json` in pieces of 7 UTF-16 units."""
    program = install()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = ["node", str(program), "-p", str(port), "-f", str(FIXTURES), "-c", "7"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        output = []
        for line in process.stdout:
            output.append(line)
            if "listening" in line:
                break
        else:
            pytest.fail(f"aimock did not start: {''.join(output)}")
        yield f"http://127.0.0.1:{port}"
        process.terminate()


def gen(invoke: Run, url: str, api: str, *args: str) -> subprocess.CompletedProcess[bytes]:
    return invoke("gen", "--api", api, "-m", "anthropic/m" if api == "messages" else "openai/m", *args, url=url)


def events(done: subprocess.CompletedProcess[bytes]) -> list[dict]:
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("api", APIS)
def test_text(invoke, url, api):
    done = gen(invoke, url, api, "rivers")
    assert (done.stdout.decode(), done.stderr, done.returncode) == (
        "The Nile, the Rhône 🌊, the 長江 and the Elbe.\n",
        b"",
        0,
    )


@pytest.mark.parametrize("api", APIS)
def test_usage(invoke, url, api):
    usage = [event for event in events(gen(invoke, url, api, "--events", "rivers")) if event["type"] == "usage"]
    assert [(event["input_tokens"], event["output_tokens"]) for event in usage] == [(11, 22)]


@pytest.mark.parametrize("api", APIS)
def test_reasoning_goes_to_stderr_alone(invoke, url, api):
    done = gen(invoke, url, api, "--reasoning", "think")
    assert (done.stdout, done.returncode) == (b"Four.\n", 0)
    assert "Two 🌊 and two." in done.stderr.decode()


@pytest.mark.parametrize("api", APIS)
def test_tool_calls(invoke, url, api):
    found = events(gen(invoke, url, api, "--events", "weather"))
    calls = [event for event in found if event["type"] == "tool_call"]
    joined = ["".join(call["arguments"] for call in calls if call["index"] == index) for index in (0, 1)]
    assert [json.loads(arguments) for arguments in joined] == [{"city": "Köln 🌊"}, {"zone": "CET"}]
    assert [call["name"] for call in calls if call["name"]] == ["get_weather", "get_time"]
    assert found[-1]["reason"] == "tool_calls"


@pytest.mark.parametrize("api", APIS)
def test_length_limit_of_the_provider(invoke, url, api):
    done = gen(invoke, url, api, "limit")
    assert (done.stdout, done.returncode) == (b"One, two\n", 5)
    assert gen(invoke, url, api, "--max-tokens", "4", "limit").returncode == 0


@pytest.mark.parametrize("api", APIS)
def test_a_disconnect_keeps_the_text(invoke, url, api):
    done = gen(invoke, url, api, "disconnect")
    text = "It breaks off in the middle of all that there is to say."
    assert done.returncode == 5
    assert 0 < len(done.stdout) < len(text)
    assert text.startswith(done.stdout.decode())
    assert f"the answer breaks off after {len(done.stdout)} characters" in done.stderr.decode()


@pytest.mark.parametrize("api", APIS)
def test_error_of_the_provider(invoke, url, api):
    done = gen(invoke, url, api, "--retries", "0", "busy")
    assert (done.stdout, done.returncode) == (b"", 4)
    assert b"Rate limited" in done.stderr
