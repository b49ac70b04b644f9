"""`timeout` signals a command and then its group: what the first signal promised is done, whenever others come."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading

import pytest

from ..conftest import LLMSTREAM, at
from ..support.limits import WAIT_S
from ..support.loopback import HOLD, Provider, chat, chat_text, head
from ..support.mapping import texts_of, wait_until

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
PART = [head(), chat_text("part"), HOLD]


def script(request):
    return PART if request.prompt == "never" else [head(), *chat(request.prompt)]


def end_by_many(process, signum: int) -> bytes:
    """Sends the signal a few times, while the process handles the first one; returns what it wrote to stderr."""
    between = threading.Event()
    for _ in range(20):
        if process.poll() is None:
            process.send_signal(signum)
        between.wait(0.001)
    _, stderr = process.communicate(timeout=WAIT_S)
    assert process.returncode == -signum, stderr
    return stderr


def start(provider, folder, *args: str) -> subprocess.Popen[bytes]:
    pipes = dict.fromkeys(("stdin", "stderr"), subprocess.PIPE)
    return subprocess.Popen([*LLMSTREAM, *args, "-m", "openai/m"], **pipes, env=at(provider.url), cwd=folder)


@pytest.mark.parametrize("signum", SIGNALS)
def test_map_keeps_its_records(tmp_path, signum):
    with Provider(script) as provider, start(provider, tmp_path, "map", "-q", "-j2", "-O", "out") as process:
        process.stdin.write(b"never\na\nb\nnever\n")
        process.stdin.flush()
        wait_until(lambda: len(provider.requests) == 4)
        stderr = end_by_many(process, signum)
    assert stderr == b"llmstream map: out is not written: the records so far are in out.partial\n"
    assert os.listdir(tmp_path) == ["out.partial"]
    assert texts_of((tmp_path / "out.partial").read_bytes()) == ["a", "b"]


def test_map_commits_its_journal_and_counts(tmp_path):
    args = ["map", "-j2", "--journal", "journal", "--stats-file", "stats", "-O", "out"]
    with Provider(script) as provider, start(provider, tmp_path, *args) as process:
        process.stdin.write(b"never\na\nb\nnever\n")
        process.stdin.flush()
        wait_until(lambda: len(provider.requests) == 4)
        stderr = end_by_many(process, signal.SIGTERM)
    assert stderr.startswith(b"llmstream map: 4 prompts: 2 done, 0 failed, 2 unfinished; ")
    entries = (tmp_path / "journal").read_text().splitlines()[1:]
    assert [json.loads(entry)["record"]["text"] for entry in entries] == ["a", "b"]
    assert json.loads((tmp_path / "stats").read_text())["done"] == 2
    assert sorted(os.listdir(tmp_path)) == ["journal", "stats"]


def test_gen_leaves_no_temporary_file_and_writes_its_statistics(tmp_path):
    args = ["gen", "-n", "never", "-O", "out", "--stats-file", "stats"]
    with Provider(script) as provider, start(provider, tmp_path, *args) as process:
        assert provider.first_request.wait(WAIT_S)
        end_by_many(process, signal.SIGTERM)
    assert os.listdir(tmp_path) == ["stats"]
    assert json.loads((tmp_path / "stats").read_text())["status"] == 128 + signal.SIGTERM


def test_gen_keeps_a_cut_answer_in_its_conversation(tmp_path):
    args = ["gen", "-n", "never", "--chat", "chat", "--keep-cut"]
    with (
        Provider(script) as provider,
        subprocess.Popen(
            [*LLMSTREAM, *args, "-m", "openai/m"], stdout=subprocess.PIPE, env=at(provider.url), cwd=tmp_path
        ) as process,
    ):
        assert process.stdout.read(4) == b"part"
        end_by_many(process, signal.SIGTERM)
    turns = [json.loads(line) for line in (tmp_path / "chat").read_text().splitlines()]
    assert [turn["content"] for turn in turns] == ["never", "part"]
