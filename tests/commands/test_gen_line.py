"""`gen --line`: the record that map writes for a single prompt."""

from __future__ import annotations

import json

import pytest

from ..support.loopback import CLOSE, DONE, HOLD, Provider, chat, chat_end, chat_text, head, reply

HELLO = [head(), *chat("Hello")]
LONG = [chat_text("Hello"), chat_end("length") + DONE]
CUT = [head(), chat("Hello")[0], CLOSE]


def both(invoke, script, *args: str, model: str = "openai/m"):
    """Runs gen --line and map with the same prompt; returns both results."""
    with Provider(lambda request: script) as provider:
        shared = ["-m", model, "--retries=0", *args]
        gen = invoke("gen", "--line", *shared, "Hi", url=provider.url)
        return gen, invoke("map", "-q", *shared, input=b"Hi\n", url=provider.url)


@pytest.mark.parametrize(
    "args, script, status",
    [
        ([], HELLO, 0),
        (["--until-regex", "l"], HELLO, 0),
        (["--until-regex", "z"], HELLO, 1),
        ([], reply("401 Unauthorized", b'{"error": {"message": "no"}}'), 3),
        ([], reply("503 Service Unavailable", b"{}"), 4),
        ([], CUT, 5),
        ([], [head(), *LONG], 5),
        (["--max-tokens=1"], [head(), *LONG], 0),
        (["--stall-timeout=0.1"], [head(), chat("Hello")[0], HOLD], 5),
    ],
)
def test_the_record_is_that_of_map(invoke, args, script, status):
    gen, map = both(invoke, script, *args)
    assert (gen.returncode, map.returncode) == (status, status)
    gen_record, map_record = json.loads(gen.stdout), json.loads(map.stdout)
    if "--until-regex" in args:  # the usage may arrive together with the match, or after it
        gen_record.pop("usage", None)
    assert gen_record == {name: value for name, value in map_record.items() if name in gen_record}
    assert gen_record.keys() >= {"index", "error" if status else "text"}
    assert gen.stdout.endswith(b"}\n") and gen.stdout.count(b"\n") == 1
    assert gen.stderr.count(b"\n") == (1 if status else 0)


def test_nothing_is_written_where_nothing_was_sent(invoke):
    done = invoke("gen", "--line", "-m", "openai/m", "Hi")
    assert (done.returncode, done.stdout) == (2, b"")


@pytest.mark.parametrize("option", ["--events", "--timing"])
def test_events_are_something_else(invoke, option):
    done = invoke("gen", "--line", option, "-m", "openai/m", "Hi")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"--line and --events exclude each other: leave one out" in done.stderr


def test_with_an_output_file(invoke, tmp_path):
    with Provider(HELLO, CUT) as provider:
        for status in (0, 5):
            done = invoke(
                *("gen", "--line", "-m", "openai/m", "--retries=0", "-O", "answer", "Hi"),
                url=provider.url,
                cwd=tmp_path,
            )
            assert (done.returncode, done.stdout) == (status, b"")
            assert json.loads((tmp_path / "answer").read_text())["text"] == "Hello"
