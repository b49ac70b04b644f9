"""`map --run-tools`: each prompt's tools are programs, and no prompt waits for those of another."""

from __future__ import annotations

import json
import os
import signal
import subprocess

import pytest

from ..conftest import LLMSTREAM, at
from ..support.limits import WAIT_S
from ..support.loopback import Provider, Request, chat, head, reply
from ..support.mapping import MAP, records_of, wait_until
from ..support.tools import calls, is_running, make_tools, needs_proc
from .test_pauses import END as PAUSE_END
from .test_pauses import SERVER_TOOL, paused

TOOL = r"""#!/bin/sh
case $1 in
weather) cat ;;
fails) echo "no such city"; exit 3 ;;
hangs) sleep 1000 & echo $! > pid; wait ;;
meet) read -r a; case $a in *1*) echo a > fifo ;; *) cat fifo ;; esac ;;
esac
"""
NAMES = ("weather", "fails", "hangs", "meet")


@pytest.fixture
def folder(tmp_path):
    return make_tools(tmp_path, NAMES, TOOL)


def answer(request: Request) -> list:
    """Calls the tool that the prompt names, with its arguments, and answers with its result."""
    messages = request.json["messages"]
    if messages[-1]["role"] == "tool":
        return [head(), *chat(messages[-1]["content"])]
    name, _, arguments = messages[-1]["content"].partition(" ")
    return calls((name, arguments or "{}"), text="I look.") if name in NAMES else [head(), *chat(name)]


def command(*args: str) -> list[str]:
    return [*MAP, "--tools", "tools", "--run-tools", "./tool", "--retries", "0", *args]


def run(folder, provider: Provider, prompts: str, *args: str, **options) -> subprocess.CompletedProcess:
    env = at(provider.url)
    return subprocess.run(
        command(*args), input=prompts.encode(), capture_output=True, env=env, cwd=folder, timeout=WAIT_S, **options
    )


def test_each_prompt_has_its_last_answer_and_the_tokens_of_all(folder):
    with Provider(answer) as provider:
        done = run(folder, provider, 'weather {"a":1}\nRhine\nfails\n', "--stats-file", "stats")
    assert done.returncode == 0
    first, second, third = records_of(done.stdout)
    assert (first["text"], first["finish"]) == ('{"a":1}\n', "stop")
    assert [(call["name"], call["arguments"]) for call in first["tool_calls"]] == [("weather", '{"a":1}')]
    assert (first["usage"]["input_tokens"], first["usage"]["output_tokens"]) == (6, 4)
    assert (second["text"], "tool_calls" in second) == ("Rhine", False)
    assert third["text"] == "no such city\nerror: status 3"
    lines = done.stderr.decode().splitlines()
    assert 'llmstream map: line 1: calls weather {"a":1}' in lines
    assert "llmstream map: line 3: the call of fails failed: status 3" in lines
    assert json.loads((folder / "stats").read_text())["output_tokens"] == 10


def test_a_record_is_that_of_gen(folder):
    with Provider(answer) as provider:
        (mapped,) = records_of(run(folder, provider, "weather\n").stdout)
        args = ["gen", "-n", "-m", "openai/m", "--tools", "tools", "--run-tools", "./tool", "--line", "weather"]
        done = subprocess.run([*LLMSTREAM, *args], capture_output=True, env=at(provider.url), cwd=folder)
    (record,) = records_of(done.stdout)
    assert mapped == {**record, "line": 1}


@pytest.mark.parametrize("jobs", ["2", "1"])
def test_programs_of_several_prompts_run_at_once(folder, jobs):
    """Two programs that wait for each other end only where they run at once."""
    os.mkfifo(folder / "fifo")
    with Provider(answer) as provider:
        timeout = "30" if jobs == "2" else "0.3"
        done = run(folder, provider, 'meet {"n":1}\nmeet {"n":2}\n', "--tool-jobs", jobs, "--tool-timeout", timeout)
    assert done.returncode == 0
    assert ("a\n" in [record["text"] for record in records_of(done.stdout)]) is (jobs == "2")


def test_other_prompts_are_answered_while_a_program_runs(folder):
    os.mkfifo(folder / "fifo")
    with Provider(answer) as provider:
        args = command("--unordered", "--tool-timeout", "0")
        pipes = dict.fromkeys(("stdin", "stdout"), subprocess.PIPE)
        with subprocess.Popen(args, env=at(provider.url), cwd=folder, bufsize=0, **pipes) as process:
            process.stdin.write(b'meet {"n":1}\nRhine\n')
            assert json.loads(process.stdout.readline())["text"] == "Rhine"
            assert (folder / "fifo").read_text() == "a\n"  # which lets the program end
            process.stdin.close()
            assert json.loads(process.stdout.readline())["index"] == 0
            assert process.wait(WAIT_S) == 0


@needs_proc
def test_a_signal_kills_the_programs(folder):
    os.mkfifo(folder / "pid")
    with Provider(answer) as provider:
        args = command("--tool-timeout", "0")
        with subprocess.Popen(args, env=at(provider.url), cwd=folder, stdin=subprocess.PIPE) as process:
            process.stdin.write(b"hangs\n")
            process.stdin.close()
            pid = int((folder / "pid").read_text())
            process.send_signal(signal.SIGTERM)
            assert process.wait(WAIT_S) == -signal.SIGTERM
    wait_until(lambda: not is_running(pid))


def test_turns_have_a_limit_and_such_an_answer_is_asked_again(folder):
    def endless(request: Request) -> list:
        return calls(("weather", "{}"))

    args = ["--journal", "journal", "--max-turns", "2"]
    with Provider(endless) as provider:
        for count in (2, 4):
            done = run(folder, provider, "weather\n", *args)
            assert (done.returncode, len(provider.requests)) == (5, count)
    (record,) = records_of(done.stdout)
    assert record["error"]["message"].startswith("the model still calls tools after 2 turns")
    assert len(record["tool_calls"]) == 2


def test_the_journal_has_the_last_answer_of_the_same_program(folder):
    args = ["--journal", "journal"]
    with Provider(answer) as provider:
        first = run(folder, provider, "weather\n", *args)
        again = run(folder, provider, "weather\n", *args)
        assert (again.stdout, len(provider.requests)) == (first.stdout, 2)
        run(folder, provider, "weather\n", *args, "--run-tools", "sh -c cat")
        assert len(provider.requests) == 4


def test_a_later_answer_is_asked_of_no_other_model(folder):
    def busy(request: Request) -> list:
        has_result = request.json["messages"][-1]["role"] == "tool"
        return reply("503 Service Unavailable", b"{}") if has_result else answer(request)

    with Provider(busy) as provider:
        done = run(folder, provider, "weather\n", "-m", "openai/other")
    (record,) = records_of(done.stdout)
    assert (done.returncode, record["error"]["status"], "text" in record) == (4, 4, False)
    assert [call["name"] for call in record["tool_calls"]] == ["weather"]
    assert [request.json["model"] for request in provider.requests] == ["m", "m"]


def test_events_have_the_results(folder):
    with Provider(answer) as provider:
        done = run(folder, provider, "Rhine\nweather\n", "--events")
    events = [event for event in records_of(done.stdout) if event["index"] == 1]
    kinds = [event["type"] for event in events]
    assert kinds == [
        *("start", "text", "tool_call", "usage", "finish", "tool_result"),
        "start",
        "text",
        "usage",
        "finish",
    ]
    assert events[2] == {"index": 1, "type": "tool_call", "call": 0, "id": "c0", "name": "weather", "arguments": "{}"}
    assert events[5] == {"index": 1, "type": "tool_result", "id": "c0", "name": "weather", "content": "{}\n"}


def test_an_answer_that_anthropic_pauses_goes_on(folder):
    with Provider(paused("First "), PAUSE_END) as provider:
        args = [*LLMSTREAM, "map", "-m", "anthropic/claude-opus-5-5", "-o", SERVER_TOOL]
        done = subprocess.run(args, input=b"Go\n", capture_output=True, env=at(provider.url), timeout=WAIT_S)
    (record,) = records_of(done.stdout)
    assert (done.returncode, record["text"], record["finish"]) == (0, "First the Rhine.", "stop")
    assert record["usage"]["output_tokens"] == 4


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--run-tools", "cat"], "--run-tools needs --tools"),
        (
            ["--api", "responses", "--tools", "tools", "--run-tools", "cat", "--within", "2h"],
            "--run-tools and --within exclude",
        ),
        (["--tools", "tools", "--run-tools", "cat", "--batch", "--journal", "j"], "--run-tools has no meaning with"),
    ],
)
def test_what_does_not_fit_is_refused(invoke, folder, args, message):
    done = invoke("map", "-m", "openai/m", *args, input=b"a\n", url="http://127.0.0.1:9", cwd=folder)
    assert done.returncode == 2
    assert message in done.stderr.decode()
