"""Which servers go on with a last message of the assistant's, and what each wants beside it."""

from __future__ import annotations

import re
from typing import Any

from ..core.request import Prefill
from ..errors import UsageError, option
from .resolve import Target

STYLES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # fields of the message, fields of the body
    "assistant": ({}, {}),
    "prefix": ({"prefix": True}, {}),
    "repeated_prefix": ({"prefix": True}, {}),  # the answer begins with the message again
    "continue_final_message": ({}, {"continue_final_message": True, "add_generation_prompt": False}),
}
LLAMA_CPP = "replay"  # its way to go on after a cut is another; a last message of the assistant's it takes as well
CLAUDE = re.compile(r"claude-(haiku|sonnet|opus)-4-5\b")  # newer ones refuse, older ones are gone


def takes(target: Target) -> bool:
    """Whether a target goes on with a last message of the assistant's."""
    if target.api == "messages" and target.resume == "assistant":
        return bool(CLAUDE.match(target.model))
    return target.api == "chat" and (target.resume in STYLES or target.resume == LLAMA_CPP)


def of(target: Target, text: str) -> tuple[Target, Prefill]:
    """The beginning of an answer, and the target that takes it. Raises UsageError where there is none."""
    if not takes(target):
        who = f"{target.provider}/{target.model}" if target.api == "messages" else f"{target.provider} ({target.api})"
        raise UsageError(
            f"{who} takes no {option('prefill')}: llamacpp, local, vllm, ollama, mistral, groq and deepseek do, "
            f"and Claude's 4.5 models; {option('schema')} says what the answer is to look like"
        )
    if text != text.rstrip() and target.api == "messages":
        raise UsageError(f"the Messages API takes no {option('prefill')} that ends with a blank")
    message, body = STYLES.get(target.resume, ({}, {}))
    return target._replace(url=target.resume_url or target.url), Prefill(text, message, body)
