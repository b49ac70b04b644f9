"""Finds out that a provider refuses every prompt: a wrong key, no permission, an unknown model, a wrong address."""

from __future__ import annotations

from ..errors import Error, Refused
from ..net.generation import Generation
from ..providers.resolve import Target
from .record_builder import one_sentence

IN_A_ROW = 3  # refusals without any answer, after which no prompt is sent any more
RATE_LIMITED = 429  # HTTP status; a quota that is spent may be raised while a run goes on


class Refusals:
    """Counts the refusals of each model at each address, until one answers.

    A fault of the prompt itself is no such refusal, and neither is one of the network, which may pass.
    """

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}
        self._answering: set[tuple[str, str]] = set()
        self._errors: dict[tuple[str, str], Error] = {}  # of prompts that are not sent any more

    def error(self, target: Target) -> Error | None:
        """Returns the error of a prompt that is not to be sent, None where it is."""
        return self._errors.get((target.url, target.model))

    def ended(self, target: Target, generation: Generation) -> str:
        """Counts the end of a generation. Returns a sentence for the user where it is the last one to be sent."""
        key, failure, exchange = (target.url, target.model), generation.failure, generation.exchange
        if failure is None or exchange.has_output:
            self._answering.add(key)
        if key in self._answering or key in self._errors:
            return ""
        refused = type(failure) is Refused and exchange.status != RATE_LIMITED  # its subclass is a fault of the prompt
        self._counts[key] = count = self._counts.get(key, 0) + 1 if refused else 0
        if failure is None or count < IN_A_ROW:
            return ""
        says = f"{target.provider}/{target.model} refused {count} prompts in a row"
        self._errors[key] = Refused(f"not sent, because {says}: {one_sentence(failure)}")
        return f"{says} (HTTP {exchange.status}): the others are not sent"
