"""`llmstream serve`: answers over HTTP, for browsers and for whatever speaks OpenAI's protocol."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from .. import stdio
from ..config import file as config_file
from ..config.file import Config
from ..core.kinds import NETWORK, Integer, Seconds, Size
from ..errors import UsageError
from ..providers.registry import LOCAL
from ..providers.resolve import default_name, model_names, named, resolve
from ..request.choices import by_model, require_files
from ..request.options import OPTIONS
from . import parameters
from .options import of_request, option, take
from .parameters import Arguments, Command, plain_option


class ServeCommand(Command):
    """The command whose function gets, as its first argument, the one that runs the server."""

    def run(self, arguments: Arguments, serve: Callable[..., None]) -> Any:
        return self.function(serve, **arguments.values)


@parameters.command("serve", ServeCommand, ungrouped="Server")
@plain_option("--host", default="127.0.0.1", metavar="ADDRESS", help="Listen on ADDRESS (127.0.0.1).")
@plain_option("--port", kind=Integer(0, 65535), default=8000, metavar="N", help="Listen on port N (8000).")
@option(OPTIONS["model"])
@plain_option("--jobs", kind=Integer(1), default=100, metavar="N", help="Limit on answers that stream at once (100).")
@plain_option(
    "--queue", kind=Integer(0), default=100, metavar="N", help="Limit on requests that wait for a turn (100)."
)
@plain_option("--max-body", default="16M", metavar="SIZE", kind=Size(), help="Limit on the size of a request (16M).")
@plain_option(
    "--max-bodies", default="32M", metavar="SIZE", kind=Size(), help="Limit on the size of all requests (32M)."
)
@plain_option(
    "--grace",
    kind=Seconds(),
    default=10.0,
    metavar="TIME",
    help="After a signal, wait TIME for answers (10s).",
)
@plain_option(
    "--allow-origin",
    repeatable=True,
    metavar="ORIGIN",
    help="Accept the pages of ORIGIN (repeatable).",
)
@plain_option("--allow-host", repeatable=True, metavar="NAME", help="Accept NAME as the Host header (repeatable).")
@plain_option("--allow-model", repeatable=True, metavar="PATTERN", help="Serve models such as 'openai/*' (repeatable).")
@plain_option("--allow-field", repeatable=True, metavar="NAME", help="Pass on a field of /v1's bodies (repeatable).")
@plain_option("--allow-regex", is_flag=True, help="Accept until.regex and check, with a token.")
@plain_option("-v", "--verbose", is_flag=True, help="Log requests in the Common Log Format.")
@of_request(NETWORK)
def command(
    start: Callable[..., None],
    /,
    host: str,
    port: int,
    jobs: int,
    queue: int,
    max_body: int,
    max_bodies: int,
    grace: float,
    allow_origin: tuple[str, ...],
    allow_host: tuple[str, ...],
    allow_model: tuple[str, ...],
    allow_field: tuple[str, ...],
    allow_regex: bool,
    verbose: bool,
    **network: Any,
) -> None:
    """Answer prompts over HTTP: a page at /, POST /chat/stream, and OpenAI's API below /v1.

    It listens on this machine only. For other machines, set a token in LLMSTREAM_SERVE_TOKEN and give --host.

    \b
    llmstream serve -m anthropic/claude-sonnet-5-5
    LLMSTREAM_SERVE_TOKEN=$(openssl rand -hex 16) llmstream serve --host 0.0.0.0
    """
    for origin in allow_origin:
        if origin != "*" and "://" not in origin:
            raise UsageError(f"--allow-origin {origin} is not an origin, such as https://example.com, or * for all")
    config = config_file.read(os.environ)
    if config.warning:
        stdio.note("serve", config.warning)
    options = take(network)
    by_model(options, config, os.environ)  # a wrong default is an error before the server starts
    config, models = _models(config, options.pop("model", None))
    token = _token(os.environ.get("LLMSTREAM_SERVE_TOKEN", ""))
    start(
        host,
        port,
        config,
        options,
        jobs=jobs,
        queue=queue,
        max_body_bytes=max_body,
        bodies_bytes=max_bodies,
        grace_s=grace,
        token=token,
        allow_hosts=(host, *allow_host),
        allow_origins=allow_origin,
        allow_regex=allow_regex or not token,
        allow_models=allow_model,
        allow_fields=allow_field,
        access_log=verbose,
        **models,
    )


def _models(config: Config, values: tuple[str, ...] | None) -> tuple[Config, dict[str, Any]]:
    """Returns the configuration, where the first model of -m falls back to the others, and the settings of models.

    Raises UsageError for a wrong name.
    """
    catalogue = config.catalogue
    names = model_names(values, os.environ, catalogue)
    for name in [name for name in names if name is not None]:
        target = resolve(name, None, os.environ, catalogue)  # a wrong name is an error before the server starts
        if len(names) > 1:
            require_files(target)
    model, rest = names[0] or default_name(os.environ, catalogue), tuple(filter(None, names[1:]))
    note = "".join(f", then {name}" for name in rest)
    if rest:
        config = config._replace(catalogue=catalogue._replace(fallbacks={**catalogue.fallbacks, model: rest}))
    if not model:
        provider, name = named(None, os.environ, catalogue)
        model = f"{provider}/{name}" if name else provider
        note = " (no key is set)" if provider == LOCAL else ""
    return config, {"model": model, "model_note": note, "models": tuple(catalogue.aliases)}


def _token(variable: str) -> str:
    """Returns the token in the environment variable, "" for none. Raises UsageError for what is no token."""
    token = variable.strip()
    if variable and not token:
        raise UsageError("LLMSTREAM_SERVE_TOKEN is blank: set a token, or unset it")
    if " " in token or not token.isprintable():
        raise UsageError("LLMSTREAM_SERVE_TOKEN is not a token: it contains a blank or a line end")
    return token
