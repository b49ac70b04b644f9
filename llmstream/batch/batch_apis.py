"""Which API of batches a target has."""

from __future__ import annotations

from ..dialects import CHAT, MESSAGES, RESPONSES
from ..errors import UsageError
from ..providers.registry import CURL
from ..providers.target import Target
from .anthropic_batches import AnthropicBatches
from .batch_api import BatchApi
from .openai_batches import OpenAIBatches

APIS: dict[str, type[BatchApi]] = {CHAT: OpenAIBatches, RESPONSES: OpenAIBatches, MESSAGES: AnthropicBatches}


def api_of(target: Target) -> type[BatchApi]:
    """Returns the API of a target's dialect. Raises UsageError for a target without batches."""
    if not target.row.batches:
        others = "openai, anthropic, azure or groq"
        raise UsageError(f"{target.provider} does not have the batches of OpenAI: name a model of {others}")
    if target.row.transport != CURL or target.api not in APIS:
        raise UsageError(f"{target.name} has no batches: name a model of OpenAI, Anthropic, or a server like theirs")
    return APIS[target.api]
