"""What a Python program keeps between its streams: loops with their connections, and the embedded model's servers."""

from __future__ import annotations

import os
import threading

from ..providers.resolve import Target, endpoint
from .loop import Loop
from .transports import Routes

MAX_IDLE = 8  # of loops that nobody uses at the moment
JOBS = 4  # prompts that an embedded model answers at once; each takes its share of memory


class PooledLoop:
    """A loop for one stream at a time, and the way from there to all targets."""

    def __init__(self) -> None:
        self.loop = Loop(reader=False)
        self.wake = self.loop.waker()
        self.routes = Routes(self.loop, jobs=1)
        self.process = os.getpid()

    def close(self) -> None:
        self.routes.close()
        self.loop.close()


_idle: list[PooledLoop] = []  # the last one used is the first to be used again


def take() -> PooledLoop:
    """A line that nobody else uses."""
    while True:
        try:
            line = _idle.pop()
        except IndexError:
            return PooledLoop()
        if line.process == os.getpid():  # else the connections are the parent's
            return line


def release(line: PooledLoop) -> None:
    """Nothing is under way on it any more."""
    if len(_idle) < MAX_IDLE and line.process == os.getpid():
        line.routes.settle()
        _idle.append(line)
    else:
        line.close()


_starting = threading.Lock()
_served: dict[tuple[str, bool], tuple[str, str]] = {}


def served(target: Target, prompt_size: int, jobs: int = JOBS) -> Target:
    """The target, its server started where it is an embedded model: one for the whole process. May take long.

    The first who asks says for how many `jobs` at once. Raises as embedded.start does.
    """
    if target.url or target.provider == "replay":
        return target
    from . import embedded

    kind = (target.model, prompt_size <= embedded.SHORT)
    with _starting:
        if kind not in _served:
            _, url, key = embedded.start(target.model, prompt_size, progress=False, jobs=jobs)
            _served[kind] = url, key
    url, key = _served[kind]
    return target._replace(url=endpoint(f"{url}/v1", target.api), key=key)
