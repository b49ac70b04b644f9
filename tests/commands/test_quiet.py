"""`-q`: a run that goes well writes no notes, one that fails writes them before its error."""

from __future__ import annotations

import re
import signal
import subprocess
import threading

import pytest

from ..conftest import LLMSTREAM, at
from ..support.limits import RUN_S, WAIT_S
from ..support.loopback import HOLD, Provider, chat, head, reply

LOADED = reply("503 No", b'{"error": {"message": "overloaded"}}', "application/json", "Retry-After: 0")
WELL = [head(), *chat("Hello")]


def once_loaded():
    """Returns a script whose first answer is a failure that a retry heals."""
    answers = [LOADED]
    return lambda request: answers.pop() if answers else WELL


@pytest.mark.parametrize("quiet", [[], ["-q"]])
def test_a_retry_that_helps_is_not_noted(invoke, quiet):
    with Provider(once_loaded()) as provider:
        done = invoke("gen", *quiet, "-m", "openai/m", "Hi", url=provider.url)
    assert (done.stdout, done.returncode, len(provider.requests)) == (b"Hello\n", 0, 2)
    assert done.stderr.count(b"trying again ") == (0 if quiet else 1)
    assert (done.stderr == b"") is bool(quiet)


def test_notes_come_before_the_error(invoke):
    with Provider(lambda request: LOADED) as provider:
        args = ["--retries", "2", "-m", "openai/m", "Hi"]
        loud, quiet = (invoke("gen", *more, *args, url=provider.url) for more in ([], ["-q"]))
    assert quiet.returncode == 4
    lines = [[line.partition(b" trying again")[0] for line in done.stderr.splitlines()] for done in (loud, quiet)]
    assert lines[0] == lines[1]
    assert len(lines[0]) == 3


@pytest.mark.parametrize("prompts, words", [(b"a\n", "1 prompt failed: "), (b"a\nb\n", "the first failed: ")])
def test_map_says_why_prompts_have_failed(invoke, prompts, words):
    with Provider(lambda request: LOADED) as provider:
        done = invoke("map", "-q", "--retries", "0", "-m", "openai/m", input=prompts, url=provider.url)
    assert (done.returncode, done.stdout.count(b'"error"')) == (4, prompts.count(b"\n"))
    assert done.stderr.decode() == f"llmstream map: {words}openai at {provider.url[7:]} says: overloaded (HTTP 503)\n"


def test_usage_comes_after_the_notes_of_a_failure(invoke):
    with Provider(lambda request: LOADED) as provider:
        done = invoke("gen", "-q", "-u", "--retries", "1", "-m", "openai/m", "Hi", url=provider.url)
    notes = done.stderr.splitlines()
    assert [b"trying again" in line for line in notes] == [True, False, False]
    assert b"openai/m" in notes[1]
    assert notes[2].endswith(b"overloaded (HTTP 503)")


def test_what_was_asked_for_stays(invoke):
    with Provider(once_loaded()) as provider:
        done = invoke("gen", "-q", "-u", "-m", "openai/m", "Hi", url=provider.url)
    (line,) = done.stderr.splitlines()
    assert line.startswith(b"llmstream gen: openai/m")


def test_lost_text_stays(invoke):
    with Provider(lambda request: WELL) as provider:
        done = invoke("gen", "-q", "-m", "openai/m", input=b"a\xffb", url=provider.url)
    assert done.stderr == b"llmstream gen: the prompt has invalid UTF-8 at byte 1: replaced by U+FFFD\n"


def test_an_answer_without_text_stays(invoke):
    script = [head(), b'data: {"choices":[{"delta":{},"finish_reason":"length"}]}\n\ndata: [DONE]\n\n']
    with Provider(lambda request: script) as provider:
        done = invoke("gen", "-q", "--max-tokens", "1", "-m", "openai/m", "Hi", url=provider.url)
    assert b"the answer has no text" in done.stderr
    assert done.returncode == 0


def test_a_wrong_turn_is_noted_only_of_a_failure(tmp_path, invoke):
    (tmp_path / "a.md").write_text("text")
    path = str(tmp_path / "a.md")
    with Provider(lambda request: WELL) as provider:
        well = invoke("gen", "-q", "-m", "openai/m", path, url=provider.url)
        unmet = invoke("gen", "-q", "-m", "openai/m", "--until-fixed", "x", path, url=provider.url)
    assert (well.stderr, well.returncode) == (b"", 0)
    assert unmet.returncode == 1
    assert [b"is a file" in line for line in unmet.stderr.splitlines()] == [True, False]


def test_a_signal_ends_no_run_well():
    """The notes say why it still ran, as after `timeout 60 llmstream gen -q` in a cron job."""
    answers, asked_again = [LOADED], threading.Event()

    def script(request):
        if answers:
            return answers.pop()
        asked_again.set()
        return [HOLD]

    with Provider(script) as provider:
        process = subprocess.Popen(
            [*LLMSTREAM, "gen", "-q", "-m", "openai/m", "Hi"],
            env=at(provider.url), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert asked_again.wait(WAIT_S)
        process.terminate()
        _, shown = process.communicate(timeout=RUN_S)
    assert process.returncode == -signal.SIGTERM
    assert re.fullmatch(rb"llmstream gen: .* overloaded \(HTTP 503\): trying again .*\n", shown)


def test_map_notes_a_failure_only(tmp_path, invoke):
    template = tmp_path / "{}"
    template.write_text("x")
    bad = reply("400 No", b'{"error": {"message": "no"}}')
    for script, status, notes in ((WELL, 0, []), (bad, 3, [True, False])):
        with Provider(lambda request, script=script: script) as provider:
            done = invoke("map", "-q", "-m", "openai/m", str(template), input=b"a\n", url=provider.url)
        assert done.returncode == status
        text = b"is a file, but its name is the template here"
        assert [text in line for line in done.stderr.splitlines()] == notes


def test_the_totals_and_the_times_of_map_stay_where_usage_was_asked_for(invoke):
    with Provider(once_loaded()) as provider:
        done = invoke("map", "-q", "-u", "-m", "openai/m", input=b"a\n", url=provider.url)
    totals, times = done.stderr.splitlines()
    assert totals.startswith(b"llmstream map: 1 prompt: 1 done, 0 failed; ")
    assert times.endswith(b"1 retry")
