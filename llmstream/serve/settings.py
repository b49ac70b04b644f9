"""What the server is told once, when it starts."""

from __future__ import annotations

from typing import NamedTuple


class Settings(NamedTuple):
    """Bounds and permissions. Times are seconds, sizes bytes."""

    jobs: int = 100  # generations at once
    queue: int = 100  # requests that wait for one of them to end
    max_body: int = 16 * 1024 * 1024  # of a request
    keep_alive: float = 15.0  # of silence, after which a comment is written
    body_timeout: float = 60.0  # for a whole request to arrive
    grace: float = 10.0  # for the running answers to end after a signal
    token: str = ""  # demanded of every request if it is not empty
    hosts: tuple[str, ...] = ()  # names in the Host header beside localhost and addresses
    allow_origin: tuple[str, ...] = ()  # sites whose pages may ask
    regex: bool = True  # whether conditions may be regular expressions: one can hold up all
    model: str | None = None  # what is asked where a request names no model
    models: tuple[str, ...] = ()  # what is offered beside it; others may be named all the same
