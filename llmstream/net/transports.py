"""Opens transports: the network, an SDK, a recording, or the model in this process.

TRANSPORTS has a function for each transport that a provider's row can name.
"""

import os
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from ..errors import UsageError, option
from ..providers.registry import CURL, EMBEDDED, REPLAY, SDK
from ..providers.target import Target, endpoint
from .loop import EventLoop
from .transfer import HttpRequest, Transport


class Route(NamedTuple):
    """A target as it is reached, and the transport that carries its requests."""

    target: Target
    transport: Transport


class Routes:
    """The routes of many requests on one loop; requests to one server share its connections.

    `jobs` is how many requests the embedded model is to answer at once. `speed` is that of recordings, 0 for at once.
    `progress` is the command that shows the download of the embedded model on stderr, "" for none. `note` is called
    once where that model is a fallback.
    """

    def __init__(
        self,
        loop: EventLoop,
        jobs: int = 1,
        *,
        speed: float = 1.0,
        progress: str = "",
        note: Callable[[str], object] = lambda text: None,
    ) -> None:
        self.loop, self.jobs, self.speed, self.progress = loop, jobs, speed, progress
        self.note: Callable[[str], object] | None = note  # None once it was called
        self._shared: dict[tuple[str, ...], Transport] = {}

    def to(self, target: Target, prompt_size: int) -> Route:
        """Returns the route to a target; `prompt_size` is in bytes.

        Raises what Player and embedded.serve raise. Where it starts the embedded model, it blocks for a second or more.
        """
        return TRANSPORTS[target.row.transport](self, target, prompt_size)

    def preconnect(self, target: Target, connect_timeout: float | None) -> None:
        """Opens a connection to a target that libcurl reaches; the next request of its route uses it."""
        request = HttpRequest("GET", target.url, [], cert=target.cert)
        _curl(self, target, 0).transport.preconnect(request, connect_timeout)

    def shared(self, key: tuple[str, ...], opener: Callable[[], Transport]) -> Transport:
        """Returns the transport that has this key, opened at the first use."""
        if key not in self._shared:
            self._shared[key] = opener()
        return self._shared[key]

    @property
    def is_settled(self) -> bool:
        """Whether nothing is to be sent any more."""
        return all(transport.is_settled for transport in self._shared.values())

    def settle(self) -> None:
        """Ends what lingers, before the loop goes idle."""
        for transport in self._shared.values():
            transport.settle()

    def close(self) -> None:
        """Ends all requests."""
        for transport in self._shared.values():
            transport.close()

    def abandon(self) -> None:
        """Gives all connections up in a forked process; later requests open new ones."""
        for transport in self._shared.values():
            transport.abandon()
        self._shared.clear()


def _curl(routes: Routes, target: Target, prompt_size: int) -> Route:
    from .curl import Curl

    return Route(target, routes.shared((CURL,), partial(Curl, routes.loop)))


def _sdk(routes: Routes, target: Target, prompt_size: int) -> Route:
    from .sdk import Sdk

    key = (SDK, target.provider, target.url, target.key)
    return Route(target, routes.shared(key, partial(Sdk, target, routes.loop)))


def _replay(routes: Routes, target: Target, prompt_size: int) -> Route:
    from .recording import Player

    player = Player(target, routes.speed, routes.loop)  # not shared: each plays from the beginning
    return Route(player.target, player)


def _embedded(routes: Routes, target: Target, prompt_size: int) -> Route:
    from . import embedded

    url, key = embedded.serve(target.model, prompt_size, routes.jobs, routes.progress)
    if target.is_fallback and routes.note:
        routes.note(f"no key is set: asking the embedded {target.model}; {option('model')} names another")
        routes.note = None
    return _curl(routes, target._replace(url=endpoint(f"{url}/v1", target.api), key=key), prompt_size)


TRANSPORTS: dict[str, Callable[[Routes, Target, int], Route]] = {
    CURL: _curl,
    SDK: _sdk,
    REPLAY: _replay,
    EMBEDDED: _embedded,
}


def recorded(route: Route, path: str) -> Route:
    """Returns the route with its traffic recorded in a file.

    Raises UsageError where the file cannot be written, or is the recording that is played.
    """
    from .recording import Recorder

    played = route.target.url.removeprefix(f"{REPLAY}:") if route.target.row.transport == REPLAY else ""
    if played and os.path.exists(path) and os.path.samefile(path, played):
        raise UsageError(f"{path} is the recording that is played: {option('record')} needs another file")
    return Route(route.target, Recorder(route.transport, path, route.target))
