"""What is asked of a model beside the prompt, and of whom: the options that `gen`, `map` and the library share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.request import Request
from ..core.retry import RetryPolicy
from ..core.timing import Timeouts
from ..providers.registry import BUILT_IN, Catalogue
from ..providers.resolve import Target, resolve

PLAIN = ("system", "max_tokens", "temperature", "seed", "stop", "extra")
FEATURES = ("json", "schema", "schema_multi", "attach", "messages", "prefill", "effort", "tools", "cache")
NAMED = ("model", "api", "api_key", "base_url")  # the last two in Python only
NONE: tuple[object, ...] = (None, (), [], False)  # what an option is that is not given


class RequestBuilder:
    """The values of options, by their names; those that are missing are not given.

    `command` is for notes, `events` says whether tool calls can be told. Raises UsageError, as resolve does.
    """

    def __init__(
        self,
        command: str,
        options: Mapping[str, Any],
        env: Mapping[str, str],
        catalogue: Catalogue = BUILT_IN,
        events: bool = False,
    ) -> None:
        self._command, self._env, self._known, self._events = command, env, catalogue, events
        self._plain = {name: options[name] for name in PLAIN if options.get(name) is not None}
        self._features = {name: options[name] for name in FEATURES if options.get(name) not in NONE}
        self._named = {name: options.get(name) for name in NAMED}
        name, api, key, url = self._named.values()
        self.target = resolve(name, api, env, catalogue, key=key, url=url)

    @property
    def conversation(self) -> bool:
        """Whether messages are given, which can do without a prompt."""
        return "messages" in self._features

    @property
    def takes_stdin(self) -> bool:
        """Whether an option is what stdin holds."""
        files = self._features
        return "-" in (files.get("messages"), files.get("tools"), *files.get("attach", ()))

    def request(self, prompt: str) -> tuple[Target, Request]:
        """The request, and the target as it is to be asked. Raises UsageError for what cannot be asked."""
        request = Request(self.target.model, prompt, **self._plain)
        if not self._features:
            return self.target, request
        from . import features

        return features.add(self._command, self.target, request, self._features, self._events)

    def with_overrides(self, options: Mapping[str, Any]) -> RequestBuilder:
        """The same with other values of some options; `extra` adds to what there is."""
        mine: dict[str, Any] = {**self._plain, **self._features, **options}
        mine["extra"] = (*self._plain.get("extra", ()), *options.get("extra", ()))
        return RequestBuilder(self._command, {**self._named, **mine}, self._env, self._known, self._events)


def network(options: Mapping[str, Any]) -> tuple[Timeouts, RetryPolicy]:
    """Returns the time-outs and the retry policy that the options say; a time-out of 0 is no limit."""
    timeouts, policy = Timeouts(), RetryPolicy()

    def limit(name: str, default: float | None) -> float | None:
        return options.get(name, default) or None

    return Timeouts(
        limit("first_token_timeout", timeouts.first_token),
        limit("stall_timeout", timeouts.stall),
        limit("timeout", timeouts.total),
        limit("connect_timeout", timeouts.connect),
    ), RetryPolicy(options.get("retries", policy.limit), options.get("max_retry_wait", policy.max_wait))
