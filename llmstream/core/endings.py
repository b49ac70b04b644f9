"""The words with which providers end an answer: one table for all dialects.

A word maps to a reason of `Finish`, or to ERROR with a sentence in FAILURES. Case does not matter. A word that is not
in the table is UNKNOWN: the answer does not count as whole (see `core.report.verdict`).
"""

from __future__ import annotations

from collections.abc import Mapping

UNKNOWN, ERROR = "unknown", "error"


def _words(**words: str) -> dict[str, str]:
    """Returns a table of words; each argument names a reason and has the words that mean it."""
    return {word: reason for reason, line in words.items() for word in line.split()}


# Anthropic's "Handling stop reasons"; `compaction` is of its beta.
MESSAGES = _words(
    stop="end_turn stop_sequence",
    length="max_tokens model_context_window_exceeded",
    tool_calls="tool_use",
    refusal="refusal",
    paused="pause_turn compaction",
)
# Gemini API reference, FinishReason and BlockReason, and those of Vertex AI.
GEMINI = _words(
    stop="stop",
    length="max_tokens",
    content_filter=(
        "safety recitation language blocklist prohibited_content spii model_armor jailbreak "
        "image_safety image_prohibited_content image_recitation image_other"
    ),
    incomplete=(
        "malformed_function_call unexpected_tool_call too_many_tool_calls malformed_response "
        "missing_thought_signature no_image other"
    ),
)
# OpenAI API reference: the response's status, and the reason of an incomplete one.
RESPONSES = _words(
    stop="completed",
    length="max_output_tokens max_messages incomplete",  # the last where the server does not say why
    content_filter="content_filter",
    incomplete="steered",
)
OLLAMA = _words(stop="stop", length="length", incomplete="load unload")
CHAT_OWN = _words(
    stop="stop eos eos_token end complete completed",  # TGI, Together, Cohere
    length="length model_length token_limit",  # Mistral, watsonx
    tool_calls="tool_calls function_call tool_call",
    content_filter="content_filter content_filtered guardrail_intervened sensitive",  # Bedrock, Zhipu
    incomplete="cancelled time_limit",
    error="error error_toxic error_limit insufficient_system_resource abort network_error",
)
ENDINGS: dict[str, Mapping[str, str]] = {
    "chat": {**RESPONSES, **GEMINI, **MESSAGES, **CHAT_OWN},  # gateways pass the words of others on
    "responses": RESPONSES,
    "messages": MESSAGES,
    "gemini": GEMINI,
    "ollama": OLLAMA,
}
FAILURES = {  # of the words that are errors; the others have only FAILURE
    "insufficient_system_resource": "the provider ran out of resources",  # DeepSeek
    "abort": "the server aborted the answer",  # vLLM, SGLang
    "network_error": "the provider ended the answer with a network error",  # Zhipu
}
FAILURE = "the provider ended the answer with an error"


def reason_of(api: str, word: str) -> str:
    """Returns the reason that a dialect's word means: one of events.REASONS, or ERROR."""
    return ENDINGS[api].get(word.lower(), UNKNOWN)
