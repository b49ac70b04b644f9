"""`map --journal`: a second run sends only the prompts that the first one has not finished."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess

import pytest

from ..conftest import at
from ..support.limits import RUN_S, WAIT_S
from ..support.loopback import HOLD, Provider, chat, chat_text, head, reply
from ..support.mapping import MAP, echo, records_of, running, texts_of, wait_until


@pytest.fixture
def world(invoke, tmp_path):
    """world(stdin, *args) runs map with a journal; returns its records, the prompts sent, its status, its stderr.

    All runs of a test have one provider, because a journal's answers belong to its address.
    """

    def script(request):
        return world.script(request)

    with Provider(script) as provider:

        def world(stdin: bytes, *args: str, quiet: bool = True):
            flags = [*(["-q"] if quiet else []), *(() if "-m" in args else ("-m", "openai/m"))]
            before = len(provider.requests)
            done = invoke("map", *flags, "--journal", str(path), *args, input=stdin, url=provider.url)
            sent_prompts = sorted(request.prompt for request in provider.requests[before:])
            return records_of(done.stdout), sent_prompts, done.returncode, done.stderr

        path = world.path = tmp_path / "journal"
        world.script, world.provider = echo, provider
        yield world


def test_a_second_run_sends_nothing_and_prints_everything(world):
    first, sent_prompts, *_ = world(b"a\nb\nc\n")
    assert sent_prompts == ["a", "b", "c"]
    again, sent_prompts, status, stderr = world(b"a\nb\nc\n", quiet=False)
    assert (again, sent_prompts, status) == (first, [], 0)
    assert stderr.startswith(b"llmstream map: 3 prompts: 0 done, 3 done earlier, 0 failed; ")


def test_only_missing_prompts_are_sent_and_all_are_printed_in_order(world):
    world(b"b\nd\n")
    records, sent_prompts, *_ = world(b"a\nb\nc\nd\n")
    assert sent_prompts == ["a", "c"]
    assert [(record["index"], record["text"]) for record in records] == [(0, "a"), (1, "b"), (2, "c"), (3, "d")]
    assert world(b"d\nc\n", "--unordered")[1] == []


def test_saved_answers_larger_than_one_write_are_printed(world):
    world.script = lambda request: [head(), *chat("x" * 10_000)]
    stdin = b"".join(b"%d\n" % number for number in range(100))
    first = world(stdin)[0]
    assert world(stdin)[:2] == (first, [])
    assert world(stdin, "--window", "1")[:2] == (first, [])


def test_a_window_of_one_moves_when_the_answer_is_in_the_journal(world):
    assert [record["text"] for record in world(b"a\nb\nc\n", "--window", "1")[0]] == ["a", "b", "c"]


def test_equal_prompts_are_saved_one_by_one(world):
    assert world(b"a\na\n")[1] == ["a", "a"]
    records, sent_prompts, *_ = world(b"a\na\na\n")
    assert (len(records), sent_prompts) == (3, ["a"])


@pytest.mark.parametrize(
    "more",
    [["-t", "1"], ["-s", "x"], ["--max-tokens", "5"], ["-o", "top_p=1"], ["Say {}"], ["--until-lines", "1"],
     ["-m", "openai/other"], ["--api", "messages", "-m", "anthropic/m"], ["--json"]],
)  # fmt: skip
def test_another_option_is_another_request(world, more):
    world(b"a\n")
    _, sent_prompts, status, _ = world(b"a\n", *more)
    assert (len(sent_prompts), status) == (1, 0)
    assert world(b"a\n", *more)[1] == []
    assert world(b"a\n")[1] == []  # the first answer is still saved


@pytest.mark.parametrize("more", [["-j", "1"], ["--unordered"], ["--retries", "0"], ["-u"], ["--rpm", "1000"]])
def test_options_of_the_run_make_no_other_request(world, more):
    world(b"a\n")
    assert world(b"a\n", *more)[1] == []


def test_a_changed_prompt_of_an_id_is_sent_again_and_noted(world):
    rows = b'{"id": 1, "prompt": "a"}\n{"id": "1", "prompt": "b"}\n'
    world(rows, "--jsonl")
    assert world(rows, "--jsonl")[1] == []
    records, sent_prompts, _, stderr = world(rows.replace(b'"a"', b'"new"'), "--jsonl", quiet=False)
    assert sent_prompts == ["new"]
    assert [(record["id"], record["text"]) for record in records] == [(1, "new"), ("1", "b")]
    note = f"llmstream map: 1 answer of {world.path} belongs to another request: sending the prompt again\n"
    assert note.encode() in stderr
    assert world(rows.replace(b'"a"', b'"new"'), "--jsonl")[1] == []


UNUSED = " has 2 answers, but none to these requests: with another prompt, template, model or option "


@pytest.mark.parametrize("more", [["-t", "0"], ["Say {}"]])
@pytest.mark.parametrize("prompts", [b"a\nb\n", b"".join(b"%d\n" % number for number in range(20))])
def test_a_journal_that_fits_no_prompt_is_noted_once(world, more, prompts):
    world(b"a\nb\n")
    *_, stderr = world(prompts, *more, quiet=False)
    assert stderr.count(f"llmstream map: {world.path}{UNUSED}".encode()) == 1


def test_the_note_comes_while_prompts_are_still_read(world):
    world(b"a\nb\n")
    args = ["--journal", str(world.path), "-t", "0", "-j", "1"]
    with running(*args, url=world.provider.url) as run:
        run.write(b"".join(b"%d\n" % number for number in range(20)))
        line = run.process.stderr.readline().decode()
    assert line.startswith(f"llmstream map: {world.path}{UNUSED}")


@pytest.mark.parametrize("prompts", [b"new\na\n", b"1\n2\n3\n4\n5\n6\n7\nb\n8\n9\n", b""])
def test_a_journal_of_some_of_the_prompts_is_not_noted(world, prompts):
    world(b"a\nb\n")
    *_, stderr = world(prompts, quiet=False)
    assert b"but none to these requests" not in stderr


def test_failed_prompts_are_sent_again(world):
    def script(request):
        if request.prompt == "no":
            return reply("400 No", b"{}")
        return [head(), chat_text("cut")] if request.prompt == "cut" else echo(request)

    world.script = script
    assert world(b"a\nno\ncut\n", "--retries", "0")[2] == 5
    world.script = echo
    records, sent_prompts, status, _ = world(b"a\nno\ncut\n")
    assert (sent_prompts, status, [record["text"] for record in records]) == (["cut", "no"], 0, ["a", "no", "cut"])


def test_an_answer_that_misses_its_condition_is_saved_with_its_status(world):
    args = ("--until-fixed", "b")
    assert world(b"abc\nxyz\n", *args)[2] == 1
    records, sent_prompts, status, _ = world(b"abc\nxyz\n", *args)
    assert (sent_prompts, status, records[1]["error"]["status"]) == ([], 1, 1)


def test_two_runs_on_one_journal_are_refused(world):
    args = ("--journal", str(world.path), "-q")
    with running(*args, url=world.provider.url) as first:
        first.write(b"a\n")
        assert first.read_record()["text"] == "a"
        _, sent_prompts, status, stderr = world(b"b\n")
        assert (sent_prompts, status) == ([], 2)
        message = f"another llmstream map uses {world.path}: wait for its end, or name another file"
        assert stderr.decode() == f"llmstream map: {message}\n"
        first.write(b"c\n")
        assert first.read_record()["text"] == "c"
        first.close_stdin()
        assert first.process.wait(WAIT_S) == 0
    assert world(b"a\nc\n")[2] == 0


def test_the_prompt_of_an_incomplete_line_is_sent_again(world):
    world(b"a\nb\n", "-j", "1")
    whole = world.path.read_bytes()
    world.path.write_bytes(whole[:-5])
    records, sent_prompts, status, stderr = world(b"a\nb\n", quiet=False)
    assert ([record["text"] for record in records], sent_prompts, status) == (["a", "b"], ["b"], 0)
    note = f"llmstream map: {world.path} ends with an incomplete line, which is left out\n"
    assert stderr.startswith(note.encode())
    assert world(b"a\nb\n")[1] == []


def test_a_file_that_is_not_a_journal_is_not_changed(world):
    world.path.write_text("precious\n")
    _, sent_prompts, status, stderr = world(b"a\n")
    assert (sent_prompts, status) == ([], 2)
    assert b"journal:1 is not a journal of map: name another file" in stderr
    assert world.path.read_text() == "precious\n"


def test_a_full_disk_ends_the_run_and_printed_answers_are_saved(world):
    """A limit on the size of files stands in for the disk; Python ignores SIGXFSZ."""
    prompts = [f"{number} " + "x" * 200 for number in range(60)]
    stdin = "\n".join(prompts).encode() + b"\n"
    command = f"ulimit -f 8; {shlex.join(MAP)} -q --journal {shlex.quote(str(world.path))}"
    done = subprocess.run(
        ["bash", "-c", command], input=stdin, capture_output=True, env=at(world.provider.url), timeout=RUN_S
    )
    assert done.returncode == 5
    full = f"llmstream map: cannot write {world.path}: File too large: make room, then run the same command again"
    assert done.stderr.decode().startswith(full)
    assert done.stderr.count(b"\n") == 1
    printed = texts_of(done.stdout)
    assert printed == [prompt for prompt in prompts if prompt in printed]
    assert 0 < len(world.path.read_bytes()) <= 8192
    saved_texts = [json.loads(line)["record"]["text"] for line in world.path.read_text().splitlines()[1:]]
    assert set(printed) <= set(saved_texts)
    records, sent_prompts, status, _ = world(stdin)
    assert ([record["text"] for record in records], status) == (prompts, 0)
    assert not set(sent_prompts) & set(saved_texts)


@pytest.mark.parametrize("lines_read", [1, 3, 10, 25])
def test_kill_9_loses_nothing_that_was_printed(world, lines_read):
    prompts = [f"p{number}" for number in range(40)]
    stdin = "\n".join(prompts).encode() + b"\n"
    with running("--journal", str(world.path), "-j", "3", url=world.provider.url) as first:
        first.write(stdin)
        printed = [first.read_record()["text"] for _ in range(lines_read)]
        first.process.send_signal(signal.SIGKILL)
        first.process.wait(WAIT_S)
        printed += [json.loads(line)["text"] for line in first.read_rest().splitlines(True) if line.endswith(b"\n")]
    saved_texts = {
        json.loads(line)["record"]["text"]
        for line in world.path.read_bytes().splitlines(True)[1:]
        if line[-1:] == b"\n"
    }
    assert set(printed) <= saved_texts
    records, sent_prompts, status, _ = world(stdin)
    assert ([record["text"] for record in records], status) == (prompts, 0)
    assert set(sent_prompts) == set(prompts) - saved_texts  # requests may arrive after the first run has died


def test_complete_answers_are_saved_when_the_reader_leaves(world):
    """Two answers are complete when the reader leaves; only the first of them was printed."""
    world.script = lambda request: [head(), HOLD] if request.prompt == "never" else echo(request)
    with running("--journal", str(world.path), "-q", "-j", "3", url=world.provider.url) as first:
        first.write(b"a\nnever\nb\n")
        assert first.read_record()["text"] == "a"
        wait_until(lambda: world.path.read_bytes().count(b"\n") == 3)  # a head and two answers
        first.process.stdout.close()
        assert first.process.wait(WAIT_S) == 0
    world.script = echo
    assert world(b"a\nnever\nb\n")[1] == ["never"]
