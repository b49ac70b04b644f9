"""A recording plays back as it was, holds no key, and is cut where a crash cut it."""

from __future__ import annotations

import json
import re
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Callable
from urllib.parse import unquote

import pytest

from llmstream.net.loop import Loop
from llmstream.net.recording import Recorder
from llmstream.net.transfer import HttpRequest, Transfer
from llmstream.providers.target import Target

from ..conftest import LLMSTREAM, at, environment
from ..support.limits import WAIT_S
from ..support.loopback import DIALECTS, RESET, Provider, head, reply

KEY = "sk-test-key"  # of conftest.at
MODELS = {"chat": "openai/m", "responses": "openai/m", "messages": "anthropic/m"}


@pytest.mark.parametrize("api", DIALECTS)
def test_plays_back_what_was_sent(invoke, tmp_path, api):
    path = str(tmp_path / "recording")
    with Provider([head(), *DIALECTS[api]("Hello, ", "wörld")]) as provider:
        first = invoke("gen", "--events", "--api", api, "-m", MODELS[api], "--record", path, "Hi", url=provider.url)
    again = invoke("gen", "--events", "-m", f"replay:{path}", "Hi", "--speed", "0")
    assert (again.stdout, again.stderr, again.returncode) == (first.stdout, b"", 0)
    assert len(first.stdout.splitlines()) >= 4


def test_the_model_can_come_from_the_environment(invoke, tmp_path):
    path = str(tmp_path / "recording")
    with Provider([head(), *DIALECTS["chat"]("Hello")]) as provider:
        invoke("gen", "-m", "openai/m", "--record", path, "Hi", url=provider.url)
    assert invoke("gen", input=b"Hi", env=environment(LLMSTREAM_MODEL=f"replay:{path}")).stdout == b"Hello\n"


def test_failures_and_tries_play_back_too(invoke, tmp_path):
    path = str(tmp_path / "recording")
    busy = reply("503 Busy", b'{"error": "later"}')
    with Provider(busy, [RESET], [head(), *DIALECTS["chat"]("Hello")[:-1]]) as provider:
        args = ["--max-retry-wait", "0.01", "Hi"]
        first = invoke("gen", "-m", "openai/m", "--record", path, *args, url=provider.url)
    again = invoke("gen", "-m", f"replay:{path}", "--speed", "0", *args)
    assert first.returncode == again.returncode == 5
    assert first.stdout == again.stdout == b"Hello"
    assert len(first.stderr.splitlines()) == len(again.stderr.splitlines()) == 3


@pytest.mark.slow
def test_every_cut_of_a_recording_plays_back_to_there(invoke, tmp_path):
    path, cut = tmp_path / "recording", tmp_path / "cut"
    with Provider([head(), *DIALECTS["chat"]("Hello")]) as provider:
        invoke("gen", "-m", "openai/m", "--record", str(path), "Hi", url=provider.url)
    lines = path.read_bytes().splitlines(keepends=True)
    whole = b"".join(lines)
    done_at = whole.index(b"\n", whole.index(b"[DONE]"))  # the end of the record that has it
    for size in range(len(lines[0]) + 5, len(whole), 40):
        cut.write_bytes(whole[:size])
        played = invoke("gen", "-m", f"replay:{cut}", "--speed", "0", "Hi")
        assert b"Hello\n".startswith(played.stdout)
        assert (played.returncode == 0) == (size >= done_at)


def test_a_file_that_is_no_recording(invoke, tmp_path):
    (tmp_path / "text").write_text("hello\n")
    done = invoke("gen", "-m", f"replay:{tmp_path}/text", "Hi")
    assert (done.returncode, done.stderr) == (
        2,
        f"llmstream gen: {tmp_path}/text is not a recording of --record\n".encode(),
    )
    assert invoke("gen", "-m", "replay:/no/such", "Hi").stderr == (
        b"llmstream gen: cannot read /no/such: No such file or directory\n"
    )


LINES: list[object] = [
    {"recording": 1, "provider": "p", "model": "m", "api": "chat"},
    {"t": 0.0, "request": {"method": "POST", "url": "https://x", "body": {}}},
    {"t": 0.1, "status": 200, "headers": {"content-type": "text/event-stream"}},
    {"t": 0.2, "data": b"".join(DIALECTS["chat"]("Hello")).decode()},
    {"t": 0.3, "end": ""},
]


@pytest.mark.parametrize(
    "head",
    [
        1,
        [],
        None,
        {"recording": 1},
        *(
            {**LINES[0], name: value}
            for name in ("recording", "provider", "model", "api")
            for value in (None, [], {}, 2, "x" * 9 if name in ("recording", "api") else 1.5)
        ),
    ],
)
def test_a_wrong_head_is_an_error(invoke, tmp_path, head):
    (tmp_path / "file").write_text("".join(json.dumps(line) + "\n" for line in [head, *LINES[1:]]))
    done = invoke("gen", "-m", f"replay:{tmp_path}/file", "Hi")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode() == f"llmstream gen: {tmp_path}/file is not a recording of --record\n"


@pytest.mark.parametrize(
    "line",
    [
        *(1, [], None, {}, "x", {"t": 0.1}, {"request": {}}, {"data": "x"}),
        *({"t": t, "data": "x"} for t in (None, True, "0", -1, float("nan"), float("inf"), 1e300, 10**400, [])),
        *({"t": 0, "status": status, "headers": {}} for status in (None, "200", 200.5, True, 0, -1, 10**9, [])),
        *({"t": 0, "status": 200, "headers": headers} for headers in (None, [], "x", {"a": 1}, {"a": ["b"]})),
        *({"t": 0, name: value} for name in ("data", "base64", "end") for value in (None, 1, [], {})),
        *({"t": 0, "base64": text} for text in ("", "!", "YQ", "YQ==\n", "\u00e9")),
    ],
)  # fmt: skip
def test_a_wrong_line_is_an_error_before_anything_is_played(invoke, tmp_path, line):
    for place in range(1, len(LINES) + 1):
        lines = [*LINES[:place], line, *LINES[place:]]
        (tmp_path / "file").write_text("".join(json.dumps(line) + "\n" for line in lines))
        done = invoke("gen", "-m", f"replay:{tmp_path}/file", "--speed", "0", "Hi")
        message = f"{tmp_path}/file:{place + 1} is not a line of a recording: record it again"
        assert (done.returncode, done.stdout, done.stderr.decode()) == (2, b"", f"llmstream gen: {message}\n")


def test_the_lines_of_the_tests_above_are_a_recording(invoke, tmp_path):
    (tmp_path / "file").write_text("".join(json.dumps(line) + "\r\n" for line in LINES))
    assert invoke("gen", "-m", f"replay:{tmp_path}/file", "--speed", "0", "Hi").stdout == b"Hello\n"


def test_the_reader_may_leave_a_replay(tmp_path):
    path = tmp_path / "recording"
    text = 'data: {"choices": [{"index": 0, "delta": {"content": "Hello"}}]}\n\n'
    records = [
        {"recording": 1, "provider": "p", "model": "m", "api": "chat"},
        {"t": 0, "request": {}},
        {"t": 0, "status": 200, "headers": {"content-type": "text/event-stream"}},
        {"t": 0, "data": text},
        {"t": 3600, "data": text},
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    command = [*LLMSTREAM, "gen", "-n", "-m", f"replay:{path}", "Hi"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment()) as process:
        assert process.stdout.read(5) == b"Hello"  # and then an hour of silence
        process.stdout.close()
        assert process.wait(WAIT_S) == 0


class Inner:
    """A transport that has nothing but the chunks that a test puts into its transfer."""

    def __init__(self) -> None:
        self.loop = Loop(watch_stdout=False)
        self.transfer = Transfer()
        self.transfer.head = lambda: (200, {"x": KEY, "set-cookie": "secret"})

    def send(self, request: HttpRequest, connect_timeout: float, wake: Callable[[], object]) -> Transfer:
        self.wake = wake
        return self.transfer

    def send_and_forget(self, request: HttpRequest) -> None: ...

    def end(self, transfer: Transfer) -> None: ...

    def close(self) -> None: ...


FORMS = {
    "as it is": KEY,
    "JSON": "".join(f"\\u{ord(c):04x}" for c in KEY),
    "JSON in JSON": "".join(f"\\\\u{ord(c):04X}" for c in KEY),
    "URL": "".join(f"%{ord(c):02x}" for c in KEY),
    **{f"base64, {n}": b64encode(b"user:"[:n] + KEY.encode() + b"\n").decode() for n in range(4)},
}


def _readings(text: str) -> list[str]:
    """Returns a text as those read it who look for a key: as it is, without escapes, and what is base64 in it."""
    text = re.sub(r"\\+u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)
    words = [word[shift:] for word in re.findall(r"[\w+/-]{8,}", text) for shift in range(4)]
    return [text, unquote(text), *(b64decode(word[: len(word) // 4 * 4], b"-_").decode("latin-1") for word in words)]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("is_refused", [False, True])
def test_a_provider_that_echoes_the_key_leaves_it_in_no_file_and_no_note(invoke, tmp_path, form, is_refused):
    recording, stats = tmp_path / "recording", tmp_path / "stats"
    name = FORMS[form]
    if is_refused:
        script = reply("401 No", f'{{"error": {{"message": "wrong key {name} given", "code": "{name}"}}}}'.encode())
    else:
        frames = DIALECTS["chat"]("Hello", f"bad {name}!")
        script = [head(), *frames[:1], f'data: {{"id": "{name}", "model": "m-{name}"}}\n\n'.encode(), *frames[1:]]
    args = ["--record", str(recording), "--stats-file", str(stats)]
    with Provider(script) as provider:
        done = invoke("gen", "--api", "chat", "-m", "openai/m", *args, "Hi", url=provider.url)
    texts = [recording.read_text(), stats.read_text() if stats.exists() else "", done.stderr.decode()]
    assert "[key]" in texts[0]
    for text in texts:
        assert not [reading for reading in _readings(text) if KEY in reading]


@pytest.mark.parametrize("cut", range(1, len(KEY) + 8))
def test_a_recording_holds_no_key_however_it_is_cut(tmp_path, cut):
    inner, path = Inner(), tmp_path / "recording"
    recorder = Recorder(inner, str(path), Target("p", "m", "chat", "u", KEY))
    transfer = recorder.send(HttpRequest("POST", "u", [], {"prompt": f"my key is {KEY}"}), 0, lambda: None)
    text = f"key {KEY} sk-te".encode()
    for chunk in (text[:cut], text[cut:]):
        transfer.chunks.append(chunk)
        inner.wake()
        assert transfer.take() == chunk  # what is recorded is passed on as it was
    recorder.end(transfer)
    recorder.close()
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert KEY not in path.read_text()
    assert "secret" not in path.read_text()
    assert "".join(record.get("data", "") for record in records) == "key [key] sk-te"
    assert records[-1]["end"] == "the client closed the connection"


@pytest.mark.parametrize("key", ["t", "data", "k", "x"])
def test_a_short_key_is_hidden_as_a_header_s_value_and_leaves_the_recording_whole(tmp_path, key):
    inner, path = Inner(), tmp_path / "recording"
    inner.transfer.head = lambda: (200, {"echo": f"Bearer {key}"})
    recorder = Recorder(inner, str(path), Target("p", "m", "chat", "u", key))
    transfer = recorder.send(HttpRequest("POST", "u", [], {"prompt": "the data"}), 0, lambda: None)
    transfer.chunks.append(b"data: extra\n\n")
    inner.wake()
    recorder.close()
    _, request, answer, data = [json.loads(line) for line in path.read_text().splitlines()]
    assert request["request"]["body"] == {"prompt": "the data"}
    assert answer["headers"] == {"echo": "Bearer [key]"}
    assert data["data"] == "data: extra\n\n"


def test_a_recording_that_fills_the_disk_is_status_5():
    with Provider([head(), *DIALECTS["chat"]("Hello")]) as provider:
        command = [*LLMSTREAM, "gen", "-n", "-m", "openai/m", "--record", "/dev/full", "Hi"]
        done = subprocess.run(command, capture_output=True, env=at(provider.url))
    assert done.returncode == 5
    assert done.stderr == b"llmstream gen: cannot write /dev/full: No space left on device\n"
