"""What is asked of a model beside the prompt, and of whom: the options that `gen`, `map` and the library share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import providers
from .core.request import Request
from .core.timing import Limits, Patience

PLAIN = ("system", "max_tokens", "temperature", "seed", "stop", "extra")
FEATURES = ("json", "schema", "schema_multi", "attach", "messages", "prefill", "effort", "tools", "cache")
NONE: tuple[object, ...] = (None, (), [], False)  # what an option is that is not given


class Asking:
    """The values of options, by their names; those that are missing are not given.

    `command` is for notes, `events` says whether tool calls can be told, `target` is what the options name where that
    is known already. Raises UsageError, as providers.resolve does.
    """

    def __init__(
        self,
        command: str,
        options: Mapping[str, Any],
        env: Mapping[str, str],
        known: providers.Catalogue = providers.BUILT_IN,
        events: bool = False,
        target: providers.Target | None = None,
    ) -> None:
        self._command, self._env, self._known, self._events = command, env, known, events
        self._plain = {name: options[name] for name in PLAIN if options.get(name) is not None}
        self._features = {name: options[name] for name in FEATURES if options.get(name) not in NONE}
        self._model, self._api = options.get("model"), options.get("api")
        self.target = target or providers.resolve(self._model, self._api, env, known)

    @property
    def conversation(self) -> bool:
        """Whether messages are given, which can do without a prompt."""
        return "messages" in self._features

    @property
    def takes_stdin(self) -> bool:
        """Whether an option is what stdin holds."""
        files = self._features
        return "-" in (files.get("messages"), files.get("tools"), *files.get("attach", ()))

    def request(self, prompt: str) -> tuple[providers.Target, Request]:
        """The request, and the target as it is to be asked. Raises UsageError for what cannot be asked."""
        request = Request(self.target.model, prompt, **self._plain)
        if not self._features:
            return self.target, request
        from . import features

        return features.add(self._command, self.target, request, self._features, self._events)

    def varied(self, options: Mapping[str, Any]) -> Asking:
        """The same with other values of some options; `extra` adds to what there is.

        The target is found again, which may mean that a command prints a key, only where another model is named.
        """
        mine: dict[str, Any] = {**self._plain, **self._features, **options}
        mine["extra"] = (*self._plain.get("extra", ()), *options.get("extra", ()))
        named = {"model": self._model, "api": self._api}
        target = None if "model" in options else self.target
        return Asking(self._command, {**named, **mine}, self._env, self._known, self._events, target)


def patience(options: Mapping[str, Any]) -> Patience:
    """The network options; a time-out of 0 is none."""
    limits = Limits(
        options["first_token_timeout"] or None, options["stall_timeout"] or None, options["timeout"] or None
    )
    return Patience(limits, options["connect_timeout"], options["retries"], options["max_retry_wait"])
