"""What a request may cost, estimated before it is sent and while its answer comes. Needs the extra `prices`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..core.events import Event, Reasoning, Text, ToolCall, Usage
from ..core.exchange import Exchange
from ..core.report import dollars, total_usage
from ..core.request import Request
from ..errors import Incomplete, UsageError, option
from ..providers.target import Target
from . import prices

BYTES_PER_TOKEN = 4  # about, in English; other languages have fewer
OUTPUT_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")  # fields of the bodies
HTTP_OK = 200
SAMPLE_TOKENS = 1000  # whose price gives that of one


class Size(NamedTuple):
    """The tokens of a request: about how many go in, and how many come out at most, None where nothing limits them."""

    input_tokens: int
    max_output: int | None
    tier: str  # of the service, "" for the usual one


def size(target: Target, request: Request, tier: str = "") -> Size:
    """Estimates the tokens of a request; `tier` is that of the service, where the request does not say it.

    Raises UsageError for what the API or the model does not have.
    """
    body = target.body(request)
    limit = next((value for name in OUTPUT_LIMITS if type(value := body.get(name)) is int), request.max_tokens)
    system = len((request.system or "").encode("utf-8", "replace"))
    tier = tier or request.within or body.get("speed") or body.get("service_tier", "")
    return Size(-(-(request.size() + system) // BYTES_PER_TOKEN), limit, str(tier))


def require_prices() -> None:
    """Raises UsageError where the package of the extra is missing."""
    try:
        import genai_prices  # noqa: F401
    except ImportError:
        raise UsageError(
            f"{option('max_cost')} needs the extra `prices`: pip install 'llmstream-cli[prices]'"
        ) from None


def cost(target: Target, size: Size, output_tokens: int) -> float | None:
    """Returns the US dollars of a request with so many output tokens, None where the price is unknown."""
    return prices.cost(target.provider, target.model, Usage(size.input_tokens, output_tokens, tier=size.tier))


def estimate(target: Target, size: Size, output_tokens: int) -> float:
    """Returns the US dollars of a request with so many output tokens. Raises UsageError where the price is unknown."""
    usd = cost(target, size, output_tokens)
    if usd is None:
        require_prices()
        raise UsageError(f"the price of {target.name} is unknown: leave {option('max_cost')} out, or use another model")
    return usd


def of_answer(target: Target, request: Request, exchange: Exchange) -> float:
    """Returns the US dollars of an answer, complete or not, by estimate where the provider has not counted it."""
    if exchange.status != HTTP_OK:
        return 0.0
    usd = prices.cost(target.provider, target.model, exchange.usage, exchange.model)
    if usd is not None and exchange.finish is not None:
        return usd
    return max(usd or 0.0, estimate(target, size(target, request), exchange.characters // BYTES_PER_TOKEN))


class CostMeter:
    """Watches what an answer costs, over all its turns, against a limit in US dollars."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._spent = self._token_usd = 0.0
        self._output_bytes = 0

    def begin(self, target: Target, request: Request, earlier: Sequence[Exchange] = ()) -> None:
        """Begins the next request; `earlier` are the exchanges of the turns before.

        Raises UsageError where the price is unknown, or the first request may cost too much; Incomplete where a later
        one may.
        """
        tokens = size(target, request)
        usd = estimate(target, tokens, 0)
        token_usd = (estimate(target, tokens, SAMPLE_TOKENS) - usd) / SAMPLE_TOKENS
        before = self.usd
        if earlier:
            usage = total_usage(earlier)
            before = max(before, prices.cost(target.provider, target.model, usage, earlier[-1].model) or 0.0)
        most = before + usd + token_usd * (tokens.max_output or 0)
        if most > self._limit:
            tokens_in = f"{tokens.input_tokens:,} token{'' if tokens.input_tokens == 1 else 's'} in"
            out = "" if tokens.max_output is None else f", {tokens.max_output:,} out"
            limit = option("max_cost", f"{self._limit:g}")
            message = f"{target.name} may cost {dollars(most)} (about {tokens_in}{out}), more than {limit}"
            if earlier:
                raise Incomplete(f"the next turn is not sent: {message}")
            raise UsageError(f"{message}: set a lower {option('max_tokens')}, or raise the limit")
        self._spent, self._token_usd, self._output_bytes = before + usd, token_usd, 0

    def feed(self, events: list[Event]) -> None:
        """Counts output; reasoning that the provider does not show cannot be counted."""
        for event in events:
            if isinstance(event, Text | Reasoning):
                self._output_bytes += len(event.text.encode("utf-8", "replace"))
            elif isinstance(event, ToolCall):
                self._output_bytes += len(event.arguments.encode("utf-8", "replace"))

    @property
    def usd(self) -> float:
        """US dollars so far, by estimate."""
        return self._spent + self._token_usd * self._output_bytes / BYTES_PER_TOKEN

    def error(self) -> Incomplete | None:
        """Returns why the answer has to end now, None where it may go on."""
        if self.usd < self._limit:
            return None
        return Incomplete(f"the answer is cut: it has reached {option('max_cost', f'{self._limit:g}')}")
