"""`--resume-cut` against llama.cpp's own server: a greedy answer that was cut equals the one that was not.

    python -m tests.net.test_resume_llamacpp

cuts after every token of a long answer; the suite takes samples, of all dialects, and amid the frames.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading

import pytest

from ..conftest import LLMSTREAM, ROOT, environment
from ..support.limits import RUN_S, WAIT_S

pytestmark = [pytest.mark.model, pytest.mark.slow]

APIS = ("chat", "responses", "messages")
GREEDY = ["-t", "0", "-o", "cache_prompt=false", "--resume-cut", "--max-retry-wait", "0.01"]
SAMPLES = 3


class CuttingProxy:
    """Passes connections on to a server; of the first one's response only `size` bytes."""

    def __init__(self, server: str, size: int | None) -> None:
        self.response = b""  # the first one's, as far as it was passed on
        self._server = ("127.0.0.1", int(server.rpartition(":")[2]))
        self._size = size
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> CuttingProxy:
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(WAIT_S)

    def _serve(self) -> None:
        first = True
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client, socket.create_connection(self._server) as server:
                self._pass_on(client, server, first)
            first = False

    def _pass_on(self, client: socket.socket, server: socket.socket, first: bool) -> None:
        server.sendall(client.recv(1 << 20))  # the requests of these tests come in one piece
        passed = 0
        while data := server.recv(65536):
            if first and self._size is not None:
                data = data[: self._size - passed]
            passed += len(data)
            if first:
                self.response += data
            try:
                client.sendall(data)
            except OSError:
                return
            if first and passed == self._size:
                return


def generate(server: str, api: str, size: int | None, tokens: int) -> tuple[bytes, int, bytes, list[int]]:
    """stdout, status and stderr of an answer cut after `size` bytes; the offsets of its frames."""
    with CuttingProxy(server, size) as proxy:
        command = [*LLMSTREAM, "gen", "-n", "-m", "llamacpp/m", "--api", api, "--max-tokens", str(tokens), *GREEDY]
        env = environment(LLAMACPP_BASE_URL=f"{proxy.url}/v1")
        done = subprocess.run([*command, "Tell me a story about a river."], capture_output=True, env=env, timeout=RUN_S)
    frames = [match.end() for match in re.finditer(rb"\n\n", proxy.response)]
    return done.stdout, done.returncode, done.stderr, frames


@pytest.mark.parametrize("api", APIS)
def test_a_cut_answer_equals_the_whole_one(llamacpp, api):
    whole, status, stderr, frames = generate(llamacpp, api, None, 40)
    assert (status, stderr) == (0, b"")
    for frame in frames[6 :: len(frames) // SAMPLES]:
        for size in (frame, frame + 9):  # between two frames, and amid the next
            cut, status, stderr, _ = generate(llamacpp, api, size, 40)
            assert (cut, status) == (whole, 0), (size, stderr)
            assert b"requesting the rest" in stderr or size >= frames[-4]  # the end mark was there


def main() -> None:
    command = [sys.executable, "-m", "tests.support.llamacpp"]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        server = process.stdout.readline().strip()
        wrong = cuts = 0
        for api in APIS:
            whole, _, _, frames = generate(server, api, None, 100)
            for size in frames:
                cut, status, stderr, _ = generate(server, api, size, 100)
                cuts += 1
                if (cut, status) != (whole, 0):
                    wrong += 1
                    print(json.dumps([api, size, status, stderr.decode(), cut.decode()]))
        print(f"{cuts} cuts of answers of 100 tokens: {cuts - wrong} equal the uncut answer, {wrong} do not")
        process.stdin.close()
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
