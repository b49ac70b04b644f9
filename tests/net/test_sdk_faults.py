"""The clouds when things go wrong: an SDK's answer is judged, timed and left as any other provider's."""

from __future__ import annotations

import errno
import json
import os
import re
import select
import shlex
import signal
import ssl
import subprocess
import threading

import pytest

import llmstream
from llmstream.net import pool, sdk

from ..conftest import LLMSTREAM
from ..support import eventstream, tls
from ..support.clouds import FRAMES, TOKEN, aws, bedrock, entra
from ..support.limits import WAIT_S
from ..support.loopback import CLOSE, HOLD, RESET, Provider, head, messages, reply, responses

pytestmark = pytest.mark.clouds


@bedrock
@pytest.mark.parametrize("cut", [0, 10, -10])
def test_an_answer_that_is_cut_is_told_from_a_whole_one(invoke, cut):
    *whole, end, _ = eventstream.of_sse(messages("Hello"))
    with Provider([FRAMES, *whole, end[:cut], CLOSE]) as provider:
        done = invoke("gen", "-m", "bedrock/m", "Hi", env=aws(provider.url))
    assert (done.stdout, done.returncode) == (b"Hello", 5)
    assert b"breaks off after 5 characters" in done.stderr


@bedrock
def test_a_frame_whose_checksum_is_wrong_cuts_the_answer(invoke):
    frames = eventstream.of_sse(messages("Hello", "again"))
    broken = bytearray(frames[3])
    broken[-6] ^= 1
    with Provider([FRAMES, *frames[:3], bytes(broken), *frames[4:]]) as provider:
        done = invoke("gen", "-m", "bedrock/m", "Hi", env=aws(provider.url))
    assert (done.stdout, done.returncode) == (b"Hello", 5)
    assert b"Checksum mismatch" in done.stderr


@bedrock
@pytest.mark.parametrize(
    ("kind", "status"), [("validationException", 3), ("throttlingException", 4), ("internalServerException", 4)]
)
def test_an_error_instead_of_an_answer(invoke, kind, status):
    with Provider([FRAMES, eventstream.exception(kind, "no rivers today")]) as provider:
        done = invoke("gen", "--retries", "0", "-m", "bedrock/m", "Hi", env=aws(provider.url))
    assert (done.stdout, done.returncode) == (b"", status)
    assert f" says: no rivers today ({kind})" in done.stderr.decode()


def test_a_connection_that_is_lost_after_text_cuts_the_answer(invoke):
    printed = threading.Event()
    with Provider([head(), *responses("Hello")[:2], printed, RESET]) as provider:
        env = entra(provider.url)
        process = subprocess.Popen(
            [*LLMSTREAM, "gen", "-m", "azure/m", "Hi"],
            env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        text = process.stdout.read(5)
        printed.set()
        rest, note = process.communicate(timeout=WAIT_S)
    assert (text + rest, process.returncode) == (b"Hello", 5)
    assert b"breaks off after 5 characters" in note
    assert len(provider.requests) == 1


def test_the_rate_limits_wait_is_ours_and_not_the_sdks(invoke):
    limit = reply(
        "429 Too Many Requests", b'{"error":{"message":"slow down"}}', "application/json", "Retry-After: 0.01"
    )
    with Provider(limit, [head(), *responses("Hello")]) as provider:
        done = invoke("gen", "-m", "azure/m", "Hi", env=entra(provider.url))
    assert (done.stdout, done.returncode) == (b"Hello\n", 0)
    assert b" says: slow down (HTTP 429): trying again " in done.stderr
    assert b" (1 of 4)\n" in done.stderr
    with Provider(limit) as provider:
        done = invoke("gen", "--retries", "0", "-m", "azure/m", "Hi", env=entra(provider.url))
    assert (len(provider.requests), done.returncode) == (1, 4)


@bedrock
def test_an_error_that_is_itself_cut_may_pass(invoke):
    cut = head("500 Internal Server Error", "application/json", "Content-Length: 99") + b'{"mess'
    with Provider([cut, CLOSE], [FRAMES, *eventstream.of_sse(messages("Hello"))]) as provider:
        done = invoke("gen", "-m", "bedrock/m", "Hi", env=aws(provider.url))
    assert (done.stdout, done.returncode) == (b"Hello\n", 0)
    assert b"trying again" in done.stderr


def test_a_token_that_is_refused_is_not_shown(invoke):
    refusal = reply("401 Unauthorized", json.dumps({"error": {"message": f"bad token {TOKEN}"}}).encode())
    with Provider(refusal) as provider:
        done = invoke("gen", "-m", "azure/m", "Hi", env=entra(provider.url))
    assert done.returncode == 3
    assert done.stderr == b"llmstream gen: azure says: bad token [key] (HTTP 401)\n"


def test_the_token_follows_no_redirect(invoke):
    with Provider([head("307 Temporary Redirect", "text/plain", "Location: http://127.0.0.1:9/else")]) as provider:
        done = invoke("gen", "-m", "azure/m", "Hi", env=entra(provider.url))
    assert (len(provider.requests), done.returncode) == (1, 3)


def test_nobody_listens(invoke):
    with Provider([]) as provider:
        pass
    done = invoke("gen", "--retries", "0", "-m", "azure/m", "Hi", env=entra(provider.url))
    assert (done.stdout, done.returncode) == (b"", 4)
    assert re.fullmatch(rb"llmstream gen: cannot reach azure: .*Connection refused\n", done.stderr)


@pytest.mark.parametrize(
    ("option", "status", "script"),
    [("--first-token-timeout", 4, [HOLD]), ("--stall-timeout", 5, [head(), *responses("Hello")[:2], HOLD])],
)
def test_time_outs(invoke, option, status, script):
    with Provider(script) as provider:
        limit = "3" if option == "--first-token-timeout" else "0.3"  # the import of the SDK counts
        done = invoke("gen", option, limit, "-m", "azure/m", "Hi", env=entra(provider.url))
        assert provider.client_left.wait(WAIT_S)
    assert done.returncode == status
    assert option.encode() in done.stderr


@pytest.mark.parametrize("text", [b"", b"Hello"], ids=["silent", "after text"])
def test_when_the_reader_leaves_the_connection_is_closed(text):
    script = [head(), *responses("Hello")[:2], HOLD] if text else [HOLD]
    with Provider(script) as provider:
        process = subprocess.Popen(
            [*LLMSTREAM, "gen", "-m", "azure/m", "Hi"],
            env=entra(provider.url), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert provider.first_request.wait(WAIT_S)
        assert process.stdout.read(len(text)) == text
        process.stdout.close()
        assert provider.client_left.wait(WAIT_S)
        assert process.wait(WAIT_S) == 0
        assert process.stderr.read() == b""
        process.stderr.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> tuple[ssl.SSLContext, str]:
    """A server's certificate, and the path of the one to trust."""
    return tls.certificate(tmp_path_factory.mktemp("tls"))


def test_a_certificate_that_is_not_trusted_is_not_tried_again(invoke, authority):
    with Provider([HOLD], tls=authority[0]) as provider:
        done = invoke("gen", "-m", "azure/m", "Hi", env=entra(provider.url))
        assert provider.requests == []
    assert (done.stdout, done.returncode, done.stderr.count(b"\n")) == (b"", 4, 1)
    assert b"certificate verify failed" in done.stderr


@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
def test_a_transfer_that_is_ended_closes_its_connection_though_the_process_lives_on(authority, tls):
    """A retry, or one prompt of many: ending is not left to the end of the process."""
    code = """if True:
        import os, sys
        from llmstream.providers.resolve import resolve
        from llmstream.net.loop import Loop
        from llmstream.net.sdk import Sdk
        from llmstream.net.transfer import HttpRequest
        target = resolve("azure/m", None, os.environ)
        sdk = Sdk(target, Loop())
        transfer = sdk.send(HttpRequest("POST", target.url, [], {"model": "m"}), 10, lambda: None)
        sys.stdin.readline()
        sdk.end(transfer)
        sys.stdin.readline()
    """
    context, trusted = authority
    with Provider([HOLD], tls=context if tls else None) as provider:
        env = entra(provider.url, SSL_CERT_FILE=trusted)
        process = subprocess.Popen([LLMSTREAM[0], "-c", code], env=env, stdin=subprocess.PIPE, text=True, bufsize=1)
        assert provider.first_request.wait(WAIT_S)
        process.stdin.write("end\n")
        assert provider.client_left.wait(WAIT_S)
        assert process.poll() is None
        process.communicate("leave\n", timeout=WAIT_S)


def test_a_reader_that_is_slow_holds_the_server_back():
    """What nobody has read yet is not piled up here."""
    piece = responses("x" * 65536)[1]
    sent = []

    script = [head(), responses()[0], *[piece] * 2000]
    with Provider(script) as provider:
        do = provider.do
        provider.do = lambda connection, step: (sent.append(step), do(connection, step))
        process = subprocess.Popen(
            [*LLMSTREAM, "gen", "-m", "azure/m", "Hi"],
            env=entra(provider.url), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout.read(1) == b"x"
        while True:  # until nothing moves any more
            before = len(sent)
            select.select([], [], [], 0.5)
            if len(sent) == before:
                break
        assert len(sent) < 400  # of 2000: kernel buffers, the pipe's, and no more
        process.stdout.close()
        assert process.wait(WAIT_S) == 0
        process.stderr.close()


def test_a_signal_ends_the_command_by_itself():
    with Provider([head(), *responses("Hello")[:2], HOLD]) as provider:
        process = subprocess.Popen(
            [*LLMSTREAM, "gen", "-m", "azure/m", "Hi"],
            env=entra(provider.url), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout.read(5) == b"Hello"
        process.send_signal(signal.SIGINT)
        assert provider.client_left.wait(WAIT_S)
        assert process.communicate(timeout=WAIT_S) == (b"", b"")
        assert process.returncode == -signal.SIGINT


# Limits of the process.


def test_map_through_an_sdk_is_limited_by_the_open_file_limit():
    with Provider(lambda request: [head(), *responses("Hello")]) as provider:
        command = f"ulimit -n 62; seq 40 | {shlex.join(LLMSTREAM)} map -j 100 -m azure/m"
        done = subprocess.run(["bash", "-c", command], capture_output=True, env=entra(provider.url), timeout=WAIT_S)
    assert done.stderr.startswith(
        b"llmstream map: limited to 10 streams: the limit of open files is 62 (raise it with ulimit -n)\n"
    )
    assert done.stdout.count(b'"text":"Hello"') == 40
    assert provider.most_running <= 10
    assert done.returncode == 0


def out_of_threads(*args: object) -> None:
    raise RuntimeError("can't start new thread")


def out_of_files(*args: object) -> None:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


@pytest.mark.parametrize(
    ("place", "fail"),
    [
        ((threading.Thread, "start"), out_of_threads),
        ((os, "pipe"), out_of_files),
        ((sdk, "build"), out_of_files),
        ((sdk, "build"), out_of_threads),
    ],
)
@pytest.mark.parametrize("retries", [0, 1])
def test_a_process_without_files_or_threads_left_tries_again(monkeypatch, place, fail, retries):
    owner, name = place
    right = getattr(owner, name)

    def fail_once(*args: object) -> object:
        monkeypatch.setattr(owner, name, right)
        return fail()

    with Provider([head(), *responses("Hello")]) as provider:
        for variable, value in entra(provider.url).items():
            monkeypatch.setenv(variable, value)
        notes: list[str] = []
        pool.release(pool.acquire(), reusable=True)  # a loop has a pipe of its own
        stream = llmstream.stream("Hi", "azure/m", retries=retries, note=notes.append)
        before = len(os.listdir("/proc/self/fd"))
        monkeypatch.setattr(owner, name, fail_once)
        if retries:
            assert stream.read() == "Hello"
            assert len(notes) == 1
        else:
            with pytest.raises(llmstream.Unavailable) as caught:
                stream.read()
            notes.append(str(caught.value))
            assert len(os.listdir("/proc/self/fd")) <= before + 3
    assert notes[0].startswith("too many streams at once (")
    assert "jobs sets how many" in notes[0]
