"""The target of a request: the provider, its address and its key, and what they make of the request's body."""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..core.provider_errors import PROVIDER_SAYS
from ..core.request import Request, merge
from ..core.secrets import HIDDEN, Secrets, url_secrets
from ..dialects import CHAT, RESPONSES, dialect
from ..errors import Error, UsageError
from .model_limits import check
from .registry import CURL, EMBEDDED, SDK, Provider

HTTP_NOT_FOUND = 404
CREDENTIAL = "auth|key|token|secret|password|cookie"  # in the name of a header


class Target(NamedTuple):
    """Where a request goes, and as which provider's.

    `url` is that of the dialect's endpoint, "" for the embedded model until its server is started. `row` is the
    provider's row as it holds at this address. `is_fallback`: the embedded model answers because no model is named and
    no key is set.
    """

    provider: str
    model: str
    api: str
    url: str
    key: str
    row: Provider = Provider()
    is_fallback: bool = False

    @property
    def name(self) -> str:
        """The provider and the model, as -m names them."""
        return f"{self.provider}/{self.model}"

    @property
    def shown_name(self) -> str:
        """The provider's name for messages, with the host that answers where it is not the provider's own."""
        if self.row.transport != CURL or not self.url or self.url == endpoint(self.row.base_url, self.api):
            return "the embedded model" if self.row.transport == EMBEDDED else self.provider
        from urllib.parse import urlsplit

        return f"{self.provider} at {urlsplit(self.url).netloc.rpartition('@')[2]}"

    def naming(self, error: Error) -> str:
        """Returns an error's message with the provider's name before the provider's own words.

        Where an address of the user's own has no path, and nothing is found there, it asks whether that is the reason.
        """
        if not error.message.startswith(PROVIDER_SAYS):
            return error.message
        named = f"{self.shown_name} says{error.message.removeprefix(PROVIDER_SAYS)}"
        lacks_path = error.http_status == HTTP_NOT_FOUND and "model" not in named and self._lacks_path
        return f"{named}: does the address need /v1 at its end?" if lacks_path else named

    @property
    def _lacks_path(self) -> bool:
        """Whether the address is not the provider's own, and has no path, though the protocol's have /v1."""
        module = dialect(self.api)
        is_own = self.url == endpoint(self.row.base_url, self.api)
        host = self.url.removesuffix(module.PATH).partition("://")[2]
        return self.row.transport == CURL and not (is_own or module.BASE_PATH or "/" in host)

    @property
    def prefill_url(self) -> str:
        """The URL for prefilled requests."""
        return endpoint(self.row.prefill_base, self.api) if self.row.prefill_base else self.url

    def body(self, request: Request, prepare: Callable[[dict[str, Any]], None] | None = None) -> dict[str, Any]:
        """Returns the JSON body of a request, with the fields of this provider's servers; the user's fields come last.

        `prepare(body)` adds fields before the user's. Raises UsageError for what the API or the model does not have.
        """
        row, model = self.row, self.model
        check(row.limits, request)
        more: dict[str, Any] = {}
        marks = request.cache and row.cache_marks and re.match(row.cache_marks, model)
        if row.effort and row.effort.api == self.api and request.effort in row.effort.bodies:
            more, request = row.effort.bodies[request.effort], request._replace(effort=None)
        if request.cache and row.cache_key and self.api in (CHAT, RESPONSES):
            key, request = request.cache_key(), request._replace(cache=False)
            more = more | ({"prompt_cache_key": key} if key else {})
        if request.within in row.windows and self.api == RESPONSES:
            more, request = more | _background(request.within), request._replace(within=None)
        is_default = model == row.model and self.api == row.api
        if is_default and row.model_system and request.system is None:
            request = request._replace(system=row.model_system)
        body = merge(dialect(self.api).body(request, row.field_names), more)
        if row.bridges_results and self.api == CHAT:
            from ..dialects.tool_files import bridged

            body["messages"] = bridged(body["messages"])
        if marks and self.api in (CHAT, RESPONSES):
            from ..dialects.cache_marks import mark

            mark(self.api, body, request)
        if request.reasoning and (style := row.reasoning) and style.api == self.api and re.search(style.models, model):
            body = merge(body, style.body)
        if is_default:
            body |= {name: value for name, value in row.model_fields.items() if name not in body}
        if prepare:
            prepare(body)
        body = merge(body, dict(request.extra))
        if row.tiers and (tier := body.get("service_tier")) and tier not in row.tiers:
            raise UsageError(f"{self.provider} has no service_tier {tier!r}: use one of {', '.join(row.tiers)}")
        return body

    def headers(self, body: Mapping[str, Any] | None = None) -> list[str]:
        """Returns the HTTP header lines: the key, where no SDK adds it, and the user's, which replace ours.

        `body` is the JSON body that is sent, None without one.
        """
        row, lines = self.row, dialect(self.api).headers(self.key, body or {})
        if row.transport == SDK:
            lines = []
        elif row.bearer and self.key:
            lines = [*dialect(self.api).headers("", body or {}), f"Authorization: Bearer {self.key}"]
        elif row.key_header and self.key:
            lines = [f"{row.key_header}: {self.key}"]
        replaced = {field_name(line) for line in row.headers}
        return [*(line for line in lines if field_name(line) not in replaced), *row.headers]

    @property
    def cert(self) -> tuple[str, str]:
        """The files of the client certificate and of its key, "" for none."""
        return self.row.cert, self.row.cert_key

    @property
    def secrets(self) -> Secrets:
        """What is to be hidden in what is shown: the key, the password of the URL, and keys in headers."""
        lines = (line.partition(":") for line in self.row.headers)
        headers = [value.split()[-1] for name, _, value in lines if re.search(CREDENTIAL, name, re.I) and value.strip()]
        return Secrets([self.key, *url_secrets(self.url), *headers])

    def hidden(self) -> "Target":
        """Returns the target as it may be shown: no key, and no values of headers, which may be secrets too."""
        headers = tuple(f"{line.partition(':')[0]}: [hidden]" for line in self.row.headers)
        return self._replace(key=self.key and HIDDEN, row=self.row._replace(headers=headers))


def _background(window: str | None) -> dict[str, Any]:
    """Returns the fields of a background response. It is stored, or else it would be gone minutes after its end."""
    return {"stream": False, "background": True, "background_options": {"completion_window": window}, "store": True}


def endpoint(base_url: str, api: str) -> str:
    """Returns the URL of a dialect's endpoint."""
    module = dialect(api)
    return base_url.removesuffix(module.BASE_PATH) + module.PATH


def list_url(target: Target) -> str:
    """Returns the URL of the list of a provider's models."""
    module = dialect(target.api)
    return target.url.removesuffix(module.PATH) + module.MODELS_PATH


def field_name(line: str) -> str:
    """Returns the name in an HTTP header line, in lower case."""
    return line.partition(":")[0].lower()
