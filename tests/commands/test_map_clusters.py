"""`map` under GNU parallel and Spark, which run it on many machines; here on one."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys

import pytest

from ..conftest import ROOT, at, environment
from ..support import batches, docs, examples, needs
from ..support.limits import RUN_S
from ..support.loopback import Provider, reply
from ..support.mapping import echo, records_of

DISPLAYS = docs.page("llmstream-map").displays("BEYOND ONE MACHINE")


def block(word: str) -> str:
    """Returns the only display of the section that contains a word."""
    (text,) = [display for display in DISPLAYS if word in display]
    return text


def prompts(count: int) -> str:
    return "".join(json.dumps({"id": f"q{number}", "prompt": f"p{number}"}) + "\n" for number in range(count))


class Flaky:
    """Refuses the prompt p5 once."""

    def __init__(self) -> None:
        self.refused = False

    def __call__(self, request):
        if request.prompt == "p5" and not self.refused:
            self.refused = True
            return reply("400 No", b'{"error": {"message": "not now"}}')
        return echo(request)


@needs.program("parallel")
def test_gnu_parallel_runs_blocks_of_lines_and_retries_failed_ones(tmp_path):
    """Runs the man page's command on this machine, with 4 lines a run."""
    (tmp_path / "prompts.jsonl").write_text(prompts(12))
    command = block("--sshlogin").replace("host1,host2", ":").replace("-N200", "-N4")
    with Provider(Flaky()) as provider:
        env = at(provider.url, LLMSTREAM_MODEL="openai/m", HOME=str(tmp_path))
        env = examples.on_path(tmp_path / "bin", env)

        def run(command: str) -> tuple[int, list[dict], list[str]]:
            before = len(provider.requests)
            done = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=env, capture_output=True, timeout=RUN_S)
            sent_prompts = sorted(request.prompt for request in provider.requests[before:])
            return done.returncode, records_of((tmp_path / "answers.ndjson").read_bytes()), sent_prompts

        status, answers, sent_prompts = run(command)
        assert [answer["id"] for answer in answers] == [f"q{number}" for number in range(12)]
        assert [answer["id"] for answer in answers if "error" in answer] == ["q5"]
        assert (status, len(sent_prompts)) == (1, 12)  # the number of runs that failed
        assert statuses_of(tmp_path / "run.log") == {1: 0, 2: 3, 3: 0}
        status, answers, sent_prompts = run(command.replace("--joblog", "--resume-failed --joblog"))
        assert [answer["text"] for answer in answers] == ["p4", "p5", "p6", "p7"]
        assert (status, sent_prompts) == (0, ["p5"])  # the journal has the others
        assert statuses_of(tmp_path / "run.log") == {1: 0, 2: 0, 3: 0}
        status, answers, sent_prompts = run(command.replace("run.log", "new.log"))
        assert [answer["text"] for answer in answers] == [f"p{number}" for number in range(12)]
        assert (status, sent_prompts) == (0, [])


@needs.program("parallel")
def test_gnu_parallel_sends_batches_and_collects_them_later(tmp_path):
    """Runs the man page's commands on this machine, with 4 lines a run."""
    (tmp_path / "prompts.jsonl").write_text(prompts(12))
    send, collect = block("--batch").replace("-N20000", "-N4").replace("-j100", "-j3").split("\n", 1)
    account = batches.Batches()
    account.open = True
    with batches.provider(account) as server:
        env = at(server.url, LLMSTREAM_MODEL="openai/m", HOME=str(tmp_path))
        env = examples.on_path(tmp_path / "bin", env)
        for command in (send, collect):
            subprocess.run(["bash", "-c", command], cwd=tmp_path, env=env, check=True, timeout=RUN_S)
            account.open = False
    answers = records_of((tmp_path / "answers.ndjson").read_bytes())
    assert [answer["text"] for answer in answers] == [f"p{number}" for number in range(12)]
    assert sorted(account.prompts) == sorted(f"p{number}" for number in range(12))
    assert len(account.batches) == 3


def statuses_of(path) -> dict[int, int]:
    """Returns the last status of each run in a joblog."""
    rows = [line.split("\t") for line in path.read_text().splitlines()[1:]]
    return {int(row[0]): int(row[6]) for row in rows}


SCRIPT = """
import os
from pyspark.sql import SparkSession

spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
BLOCK
try:
    AGAIN
except Exception as error:
    print("exited with error code 3" in str(error))
"""
CONFIG = """
model = "work/m"
[providers.work]
base_url = "URL/v1"
key_cmd = "echo key"
"""


@needs.program("java", debian="default-jre-headless")
def test_spark_pipes_each_partition_through_a_run(tmp_path):
    """Runs the man page's lines on the local master with fewer partitions; then with a prompt that is refused."""
    pytest.importorskip("pyspark", reason="pyspark is not installed: it has 400 MB")
    (tmp_path / "prompts.jsonl").write_text(prompts(40))
    (tmp_path / "bad.jsonl").write_text('{"prompt": "bad"}\n')
    code = block("sparkContext").replace("minPartitions=100", "minPartitions=4")
    again = code.replace("prompts.jsonl", "bad.jsonl").replace('"answers"', '"bad"').replace("\n", "\n    ")
    (tmp_path / "job.py").write_text(SCRIPT.replace("BLOCK", code).replace("AGAIN", again))

    def script(request):
        return reply("400 No", b"{}") if request.prompt == "bad" else echo(request)

    with Provider(script) as provider:
        done = spark(tmp_path, provider.url)
        sent_prompts = [request.prompt for request in provider.requests]
    assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr
    assert (sent_prompts.count("bad"), len(sent_prompts)) == (1, 41)  # the local master tries a task once
    parts = sorted((tmp_path / "answers").glob("part-*"))
    assert len(parts) >= 4
    answers = [json.loads(line) for part in parts for line in part.read_text().splitlines()]
    assert [(answer["id"], answer["text"]) for answer in answers] == [(f"q{n}", f"p{n}") for n in range(40)]


def spark(folder, url: str) -> subprocess.CompletedProcess[str]:
    """Runs job.py in the folder; llmstream finds its provider by the configuration, as on other hosts."""
    config = folder / ".config" / "llmstream" / "config.toml"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(CONFIG.replace("URL", url))
    wrapper = folder / "bin" / "llmstream"
    wrapper.parent.mkdir(exist_ok=True)
    wrapper.write_text(
        f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} exec {shlex.quote(sys.executable)} -m llmstream "$@"\n'
    )
    wrapper.chmod(0o755)
    env = environment(HOME=str(folder), PYSPARK_PYTHON=sys.executable)
    env |= {"PATH": f"{wrapper.parent}:{env['PATH']}"}
    return subprocess.run(
        [sys.executable, "job.py"], cwd=folder, env=env, capture_output=True, text=True, timeout=2 * RUN_S
    )
