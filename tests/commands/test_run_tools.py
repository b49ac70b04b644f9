"""`gen --run-tools`: tools that are programs, until the model calls no more."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from llmstream.core.request import Call
from llmstream.net import programs
from llmstream.net.loop import Loop

from ..conftest import LLMSTREAM, at
from ..support.limits import WAIT_S
from ..support.loopback import Provider, chat, frame, head, reply
from ..support.mapping import records_of, wait_until
from ..support.sdk_types import unlike
from ..support.tools import calls, is_running, make_tools, needs_proc

TOOL = r"""#!/bin/sh
case $1 in
weather) cat; echo "cold" ;;
fails) echo "no such city"; exit 3 ;;
keys) env ;;
large) head -c 20000000 /dev/zero ;;
deaf) exec < /dev/null; echo ok ;;
hangs) sleep 1000 & echo $! > "$PIDS"; wait ;;
stays) trap '' TERM HUP INT; echo $$ > "$PIDS"; while :; do sleep 1; done ;;
leaves) sleep 1000 2> /dev/null & echo $! > "$PIDS"; echo started ;;
endless) exec cat /dev/zero ;;
meet) read -r a; case $a in *1*) echo a > "$PIDS" ;; *) cat "$PIDS" ;; esac ;;
esac
"""
NAMES = ("weather", "fails", "keys", "large", "deaf", "hangs", "stays", "leaves", "endless", "meet")


END = [head(), *chat("Done.")]


@pytest.fixture
def folder(tmp_path):
    return make_tools(tmp_path, NAMES, TOOL)


def command(*args: str, model: str = "openai/m") -> list[str]:
    return ["gen", "-n", "-m", model, "--tools", "tools", "--run-tools", "./tool", *args, "Go"]


def gen(folder, provider: Provider, *args: str, **model: str) -> subprocess.CompletedProcess:
    env = at(provider.url, PIDS=str(folder / "pids"), SOME_TOKEN="t0ken")
    return subprocess.run(
        [*LLMSTREAM, *command(*args, **model)], capture_output=True, env=env, cwd=folder, timeout=WAIT_S
    )


def results(provider: Provider) -> list[str]:
    """Returns the results of tools in the last request, which the SDK's types describe."""
    body = provider.requests[-1].json
    assert unlike("chat", body) == []
    return [turn["content"] for turn in body["messages"] if turn["role"] == "tool"]


def test_calls_are_run_and_their_results_sent_until_there_are_none(folder):
    first = calls(("weather", '{"city":"Kiel"}'), ("weather", "{}"), text="I look.")
    with Provider(first, calls(("weather", "{}")), END) as provider:
        done = gen(folder, provider, "-u", "--stats-file", "stats", "--chat", "talk")
    assert (done.returncode, done.stdout) == (0, b"I look.\nDone.\n")
    assert len(provider.requests) == 3
    assert results(provider) == ['{"city":"Kiel"}\ncold\n', "{}\ncold\n", "{}\ncold\n"]
    assert done.stderr.decode().splitlines()[:3] == [
        'llmstream gen: calls weather {"city":"Kiel"}',
        "llmstream gen: calls weather {}",
        "llmstream gen: calls weather {}",
    ]
    stats = json.loads((folder / "stats").read_text())
    assert (stats["input_tokens"], stats["output_tokens"], stats["characters"]) == (9, 6, 12)
    talk = [json.loads(line) for line in (folder / "talk").read_text().splitlines()]
    roles = ["user", "assistant", "tool", "tool", "assistant", "tool", "assistant"]
    assert [line["role"] for line in talk] == roles
    assert provider.requests[2].json["messages"] == talk[:-1]


def test_a_failure_is_told_to_the_model(folder):
    with Provider(calls(("fails", "{}"), ("unknown", "{}"), ("deaf", "x" * 200_000)), END) as provider:
        done = gen(folder, provider)
    assert (done.returncode, done.stdout) == (0, b"Done.\n")
    assert results(provider) == ["no such city\nerror: status 3", "error: there is no tool unknown", "ok\n"]
    assert b"llmstream gen: the call of fails failed: status 3\n" in done.stderr


def test_keys_are_not_in_the_environment_of_a_tool(folder):
    with Provider(calls(("keys", "{}")), END) as provider:
        gen(folder, provider)
    (environment,) = results(provider)
    assert "PATH=" in environment
    assert not any(secret in environment for secret in ("sk-test-key", "sk-ant-test", "t0ken"))


def test_an_output_without_end_is_bounded(folder):
    with Provider(calls(("large", "{}")), END) as provider:
        done = gen(folder, provider)
    assert results(provider) == ["error: its output is larger than 16 MiB"]
    assert (done.returncode, done.stderr.count(b"16 MiB")) == (0, 1)


@needs_proc
def test_a_tool_that_hangs_is_killed_with_its_process_group(folder):
    with Provider(calls(("hangs", "{}")), END) as provider:
        done = gen(folder, provider, "--tool-timeout", "2")
    assert (done.returncode, done.stdout) == (0, b"Done.\n")
    assert results(provider) == ["error: it took longer than 2 s"]
    assert b"it took longer than 2 s: raise --tool-timeout\n" in done.stderr
    wait_until(lambda: not is_running(int((folder / "pids").read_text())))


@needs_proc
def test_an_interrupt_kills_all_tools(folder):
    with Provider(calls(("hangs", "{}"), ("weather", "{}")), END) as provider:
        os.mkfifo(folder / "pids")
        env = at(provider.url, PIDS=str(folder / "pids"))
        args = [*LLMSTREAM, *command("--chat", "talk")]
        with subprocess.Popen(args, stderr=subprocess.PIPE, env=env, cwd=folder) as process:
            pid = int((folder / "pids").read_text())
            process.send_signal(signal.SIGINT)
            assert process.wait(WAIT_S) == -signal.SIGINT
    wait_until(lambda: not is_running(pid))
    assert not (folder / "talk").exists()


@pytest.mark.parametrize("jobs", ["2", "1"])
def test_calls_of_one_turn_run_at_once(folder, jobs):
    """Two calls that wait for each other end only where they run at once."""
    with Provider(calls(("meet", '{"n":1}'), ("meet", '{"n":2}')), END) as provider:
        os.mkfifo(folder / "pids")
        done = gen(folder, provider, "-j", jobs, "--tool-timeout", "10" if jobs == "2" else "0.3")
    assert done.returncode == 0
    assert ("a\n" in results(provider)) is (jobs == "2")


def test_turns_have_a_limit(folder):
    with Provider(calls(("weather", "{}"))) as provider:
        done = gen(folder, provider, "--max-turns", "3", "--chat", "talk")
    assert (done.returncode, len(provider.requests)) == (5, 3)
    assert b"the model still calls tools after 3 turns: raise --max-turns" in done.stderr
    assert not (folder / "talk").exists()


def test_turns_that_were_whole_are_kept_where_the_user_wants_that(folder):
    with Provider(calls(("weather", "{}")), [head("401 Unauthorized", "application/json") + b"{}"]) as provider:
        done = gen(folder, provider, "--chat", "talk", "--keep-cut")
    assert done.returncode == 3
    talk = [json.loads(line)["role"] for line in (folder / "talk").read_text().splitlines()]
    assert talk == ["user", "assistant", "tool"]


def test_events_of_all_turns(folder):
    with Provider(calls(("weather", "{}"), ("fails", "{}")), END) as provider:
        done = gen(folder, provider, "--events")
    kinds = [json.loads(line)["type"] for line in done.stdout.splitlines()]
    first, last = ["start", "tool_call", "tool_call", "usage", "finish"], ["start", "text", "usage", "finish"]
    assert kinds == [*first, "tool_result", "tool_result", *last]
    ok, failed = (json.loads(line) for line in done.stdout.splitlines()[5:7])
    assert ok == {"type": "tool_result", "id": "c0", "name": "weather", "content": "{}\ncold\n"}
    content = "no such city\nerror: status 3"
    assert failed == {"type": "tool_result", "id": "c1", "name": "fails", "content": content, "is_error": True}


def test_text_reads_the_events_of_all_turns(folder, invoke):
    with Provider(calls(("weather", "{}"), text="I look."), END) as provider:
        events = gen(folder, provider, "--events").stdout
    done = invoke("text", input=events)
    assert (done.returncode, done.stdout) == (0, b"I look.\nDone.\n")
    assert b"unrecognised" not in done.stderr


def test_a_line_has_the_last_text_and_the_calls_and_tokens_of_all_answers(folder):
    with Provider(calls(("weather", "{}"), text="I look."), calls(("fails", "{}")), END) as provider:
        done = gen(folder, provider, "--line")
    assert done.returncode == 0
    (record,) = records_of(done.stdout)
    assert (record["text"], record["finish"]) == ("Done.", "stop")
    assert [call["name"] for call in record["tool_calls"]] == ["weather", "fails"]
    assert (record["usage"]["input_tokens"], record["usage"]["output_tokens"]) == (9, 6)


def test_a_line_says_that_turns_have_reached_their_limit(folder):
    with Provider(calls(("weather", "{}"), text="Hm.")) as provider:
        done = gen(folder, provider, "--max-turns", "2", "--line")
    (record,) = records_of(done.stdout)
    assert (done.returncode, record["error"]["status"], record["text"]) == (5, 5, "Hm.")
    assert "after 2 turns" in record["error"]["message"]
    assert len(record["tool_calls"]) == 2
    assert record["usage"]["output_tokens"] == 4


def test_a_condition_ends_the_exchange_where_any_answer_meets_it(folder):
    met = calls(("weather", "{}"), text="one two three")
    with Provider(met, END) as provider:
        done = gen(folder, provider, "--until-words", "2")
    assert (done.returncode, done.stdout, len(provider.requests)) == (0, b"one two", 1)
    with Provider(calls(("weather", "{}"), text="one"), [head(), *chat("two three four")]) as provider:
        done = gen(folder, provider, "--until-words", "2")
    assert (done.returncode, done.stdout, len(provider.requests)) == (0, b"one\ntwo three", 2)
    with Provider(calls(("weather", "{}"), text="one"), END) as provider:
        done = gen(folder, provider, "--until-words", "2")
    assert (done.returncode, done.stdout) == (1, b"one\nDone.\n")


@pytest.mark.parametrize(
    ("text", "args", "status"),
    [("I look.", [], 5), ("", [], 4), ("I look.", ["--line"], 4), ("I look.", ["--events"], 5)],
)
def test_a_later_answer_that_is_unavailable_is_asked_of_no_other_model(folder, text, args, status):
    busy = reply("503 Service Unavailable", b"{}")
    with Provider(calls(("weather", "{}"), text=text), busy) as provider:
        done = gen(folder, provider, "-m", "openai/other", "--retries", "1", *args)
    assert done.returncode == status
    assert [request.json["model"] for request in provider.requests] == ["m", "m", "m"]
    assert b"503" in done.stderr


def test_a_tool_that_ignores_signals_is_killed(folder):
    with Provider(calls(("stays", "{}")), END) as provider:
        done = gen(folder, provider, "--tool-timeout", "2")
    assert (done.returncode, results(provider)) == (0, ["error: it took longer than 2 s"])
    wait_until(lambda: not is_running(int((folder / "pids").read_text())))


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_a_tool_that_cannot_be_killed_is_left(tmp_path, monkeypatch):
    """As the kernel holds a program in uninterruptible sleep, or as one that runs as another user."""
    monkeypatch.setattr(programs, "KILL_WAIT_S", 0.05)
    monkeypatch.setattr(programs.os, "killpg", lambda group, signum: kills.append(group))
    kills: list[int] = []
    notes: list[str] = []
    options = programs.ProgramOptions(("sleep",), os.environ, 1, 0.05)
    try:
        tools = programs.Tools(frozenset({"1000"}), ())
        (result,) = programs.Programs(options, Loop(), notes.append).run([Call("c", "1000", "{}")], tools)
        assert result.content == "error: it took longer than 0.05 s"
        assert len(kills) == 1
        assert is_running(kills[0])
    finally:
        for group in kills:
            os.kill(group, signal.SIGKILL)


def test_a_program_that_is_left_running_holds_no_result_up(folder):
    """The tool's own program has ended, though another one holds its stdout."""
    with Provider(calls(("leaves", "{}")), END) as provider:
        done = gen(folder, provider, "--tool-timeout", "0")
    pid = int((folder / "pids").read_text())
    assert is_running(pid)
    os.kill(pid, signal.SIGKILL)
    assert (done.returncode, results(provider)) == (0, ["started\n"])


def test_an_endless_output_takes_bounded_memory(folder):
    """The peak of all processes that this one has waited for says nothing about one: another process asks."""
    code = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    with Provider(calls(("endless", "{}")), END) as provider:
        args = [sys.executable, "-c", code, *LLMSTREAM, *command("-q", "-O", "answer")]
        kib = int(subprocess.check_output(args, env=at(provider.url), cwd=folder, timeout=WAIT_S))
    assert results(provider) == ["error: its output is larger than 16 MiB"]
    assert kib < 200 * 1024


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--run-tools", "./tool"], "--run-tools needs --tools"),
        (["--tools", "tools", "--run-tools", "./no"], "there is no program './no'"),
        (["--tools", "tools", "--run-tools", ""], "there is no program ''"),
        (["--tools", "tools", "--run-tools", "'a"], "has no closing quotation"),
        (["--tools", "tools", "--run-tools", "./tool", "--record", "r"], "--record keeps one answer, and --run-tools"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_sent(invoke, folder, args, message):
    with Provider(END) as provider:
        done = invoke("gen", "-n", "-m", "openai/m", *args, "Go", url=provider.url, cwd=folder)
    assert (done.returncode, provider.requests) == (2, [])
    assert message in done.stderr.decode()


def test_messages_gets_signed_thoughts_back(folder):
    def event(kind: str, **data: object) -> bytes:
        return frame({"type": kind, **data}, kind)

    thought = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
    called = {"type": "tool_use", "id": "c1", "name": "weather", "input": {}}
    answer = [
        head(),
        event("message_start", message={"id": "m", "model": "m"}),
        *(event("content_block_start", index=i, content_block=block) for i, block in enumerate((thought, called))),
        event("message_delta", delta={"stop_reason": "tool_use"}, usage={"output_tokens": 1}),
        event("message_stop"),
    ]
    with Provider(answer, [head("401 Unauthorized", "application/json") + b"{}"]) as provider:
        gen(folder, provider, model="anthropic/claude-opus-5-5")
    body = provider.requests[1].json
    assert unlike("messages", body) == []
    result = {"type": "tool_result", "tool_use_id": "c1", "content": "{}\ncold\n"}
    assert body["messages"][1:] == [
        {"role": "assistant", "content": [thought, called]},
        {"role": "user", "content": [result]},
    ]


def test_gen_without_tools_does_not_load_what_runs_them():
    code = (
        "import sys, llmstream.commands.gen; print(sorted(m for m in sys.modules if 'programs' in m or 'turns' in m))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], env=at("http://127.0.0.1:9")) == b"[]\n"
