"""The way that a request goes: over the network, through an SDK, to the model in this process, or into a recording."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..providers.registry import SDK
from ..providers.resolve import Target, endpoint
from .loop import Watching
from .transfer import Transport


class Route(NamedTuple):
    """`server` is the embedded model's, which lives as long as it is referred to; None for all others."""

    target: Target
    transport: Transport
    server: Any = None


def find(
    target: Target,
    loop: Watching,
    prompt_size: int,
    *,
    record: str | None = None,
    speed: float = 1.0,
    progress: bool = False,
    jobs: int = 1,
) -> Route:
    """The route to a target, for `jobs` requests at once.

    `prompt_size` is in bytes, `speed` a replay's, 0 for at once. Raises what Player, Recorder and the embedded model
    raise.
    """
    if target.provider == "replay":
        from .recording import Player

        player = Player(target.model, speed, loop)
        return Route(player.target, _recorded(player, record, player.target))
    server = None
    if not target.url:
        from . import embedded

        server, url, key = embedded.start(target.model, prompt_size, progress, jobs)
        target = target._replace(url=endpoint(f"{url}/v1", target.api), key=key)
    return Route(target, _recorded(_transport(target, loop), record, target), server)


def _transport(target: Target, loop: Watching) -> Transport:
    if target.transport == SDK:
        from .sdk import Sdk

        return Sdk(target, loop)
    from .curl import Curl

    return Curl(loop)


def _recorded(transport: Transport, path: str | None, target: Target) -> Transport:
    if path is None:
        return transport
    from .recording import Recorder

    return Recorder(transport, path, target)


class Routes:
    """The routes of many requests at once, `jobs` at most: those to one server share its connections."""

    def __init__(self, loop: Watching, jobs: int, progress: bool = False) -> None:
        self._loop, self._jobs, self._progress = loop, jobs, progress
        self._shared: dict[tuple[str, ...], Route] = {}

    def to(self, target: Target, prompt_size: int) -> tuple[Target, Transport]:
        """The target as it is reached, and by what. Raises as `find` does."""
        if target.provider == "replay":  # each plays from the beginning
            return find(target, self._loop, prompt_size)[:2]
        embedded = not target.url
        sdk = (target.provider, target.url, target.key) if target.transport else ()
        key = ("embedded", target.model) if embedded else (target.transport, *sdk)
        route = self._shared.get(key)
        if route is None:
            route = find(target, self._loop, prompt_size, progress=self._progress, jobs=self._jobs)
            self._shared[key] = route
        if embedded:
            target = target._replace(url=route.target.url, key=route.target.key)
        return target, route.transport

    def settle(self) -> None:
        """Nobody waits in the loop for a time."""
        for route in self._shared.values():
            route.transport.settle()

    def close(self) -> None:
        """Ends all that is under way."""
        for route in self._shared.values():
            route.transport.close()
