"""The server's settings, fixed at its start."""

from __future__ import annotations

from typing import NamedTuple


class Settings(NamedTuple):
    """Limits, permissions and models."""

    jobs: int = 100  # concurrent generations
    queue: int = 100  # requests that may wait for a job
    max_body_bytes: int = 16 * 1024 * 1024  # of a request
    bodies_bytes: int = 32 * 1024 * 1024  # of all requests under way; at least two of the largest
    keep_alive_s: float = 15.0  # of silence before a keep-alive is sent
    body_timeout_s: float = 60.0  # for the complete body to arrive
    grace_s: float = 10.0  # for running answers to end after a signal
    token: str = ""  # required of every request; "": no token is required
    allow_hosts: tuple[str, ...] = ()  # accepted in the Host header beside localhost and IP addresses
    allow_origins: tuple[str, ...] = ()  # other sites whose pages may send requests; "*" for all
    allow_regex: bool = True  # stop conditions and checks with patterns, of which a malicious one can block the server
    model: str | None = None  # for requests that name no model
    model_note: str = ""  # what the line at the start says of it
    models: tuple[str, ...] = ()  # that clients may name beside it
    allow_models: tuple[str, ...] = ()  # patterns of further models: * stands for any characters
    allow_fields: tuple[str, ...] = ()  # of bodies below /v1 that go to the provider, beside bodies.PASSED_FIELDS
    access_log: bool = False  # a line on stderr for each request
    hop: str = ""  # this server's name in the header that shows that a request has come round
