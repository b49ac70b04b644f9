"""Finds out which models fail for every prompt, so that no more prompts are sent to them.

A model refuses every prompt where the key is wrong, or it has no permission, or the model or the address is unknown.
A model that is unavailable is given up only for prompts that another model may answer: the network may be back soon.
"""

from __future__ import annotations

from ..errors import Error, Incomplete, Refused, Unavailable, followed
from ..net.generation import Generation
from ..providers.target import Target
from .record_builder import one_sentence

IN_A_ROW = 3  # failures without an answer between them, after which no prompt is sent any more
RATE_LIMITED = 429  # HTTP status; a quota that is spent may be raised while a run goes on
Key = tuple[str, str]  # address and model


class FailingModels:
    """Counts the failures of each model at each address: refusals until it answers, and unavailability in a row.

    A fault of the prompt itself is no such refusal, and neither is one of the network, which may pass.
    """

    def __init__(self) -> None:
        self._in_a_row: dict[Key, tuple[str, int]] = {}  # the last failure, and how many have been alike
        self._answering: set[Key] = set()
        self._errors: dict[Key, Error] = {}  # of prompts that are not sent any more
        self._noted: set[Key] = set()

    def error(self, target: Target, is_last: bool) -> Error | None:
        """Returns the error of a prompt that is not to be sent, None where it is.

        `is_last`: no other model may answer the prompt.
        """
        error = self._errors.get((target.url, target.model))
        return None if is_last and isinstance(error, Unavailable) else error

    def note(self, target: Target, following: Target, error: Error) -> str:
        """Returns a sentence for the user where a prompt goes on to the next model, once for each model; then ""."""
        key = target.url, target.model
        if key in self._noted:
            return ""
        self._noted.add(key)
        return followed(error.message, f"asking {following.name} instead of {target.name}")

    def ended(self, target: Target, generation: Generation, is_last: bool) -> str:
        """Counts the end of a generation. Returns a sentence for the user where it is the last one to be sent.

        `is_last`: no other model may answer the prompt.
        """
        key, failure, exchange = (target.url, target.model), generation.failure, generation.exchange
        if failure is None or exchange.has_output:
            self._answering.add(key)
        is_refused = type(failure) is Refused and exchange.status != RATE_LIMITED  # its subclass is the prompt's fault
        outcome = ""
        if is_refused and key not in self._answering:
            outcome = "refused"
        elif isinstance(failure, Unavailable | Incomplete) and not exchange.has_output and not is_last:
            outcome = "was unavailable for"
        before, count = self._in_a_row.get(key, ("", 0))
        count = count + 1 if outcome == before else 1
        self._in_a_row[key] = outcome, count
        if failure is None or not outcome or count < IN_A_ROW or key in self._errors:
            return ""
        says = f"{target.name} {outcome} {count} prompts in a row"
        kind = Refused if is_refused else Unavailable
        self._errors[key] = kind(f"not sent, because {says}: {one_sentence(failure)}")
        return f"{says} (HTTP {exchange.status}): the others are not sent" if is_refused else f"{says}: it gets no more"
