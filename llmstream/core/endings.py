"""The words with which providers end an answer: one table for all dialects.

A word maps to a reason of `Finish`, or to ERROR with a sentence in FAILURES. Case does not matter, nor whether words
are joined by hyphens. A word that is not in the table is UNKNOWN: the answer does not count as whole (see
`core.report.verdict`).
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
    tool_calls="requires_action",  # Perplexity
    content_filter="content_filter",
    incomplete="steered cancelled queued in_progress",  # the last two of an answer that was not streamed
    error="failed",
)
OLLAMA = _words(stop="stop", length="length", incomplete="load unload")
# Cohere API reference, "Chat with streaming", event message-end.
COHERE = _words(
    stop="complete stop_sequence",
    length="max_tokens",
    tool_calls="tool_call",
    incomplete="timeout",
    error="error",
)
# Bedrock API reference, MessageStopEvent.
CONVERSE = _words(
    stop="end_turn stop_sequence",
    length="max_tokens model_context_window_exceeded",
    tool_calls="tool_use",
    content_filter="guardrail_intervened content_filtered",
    incomplete="malformed_model_output malformed_tool_use",
)
# Gemini API reference, Interaction: its status.
INTERACTIONS = _words(
    stop="completed",
    tool_calls="requires_action",
    incomplete="incomplete cancelled budget_exceeded",
    error="failed",
)
OPENCODE = _words(  # the AI SDK's words, in the last step_finish
    stop="stop",
    length="length",
    content_filter="content_filter",
    incomplete="other",
    error="error",
)
# What compatible servers add: Together and TGI (eos), Cohere (complete, error_toxic), Baidu (normal), Mistral
# (model_length), watsonx (token_limit, time_limit), MiniMax (max_output), Bedrock (guardrail_intervened, malformed_*),
# Zhipu (sensitive, network_error), Xiaomi (repetition_truncation), vLLM (repetition, abort), Vertex AI (escalation).
CHAT_OWN = _words(
    stop="stop eos eos_token end complete completed normal",
    length="length model_length token_limit max_output error_limit",
    tool_calls="tool_calls function_call tool_call",
    content_filter="content_filter content_filtered guardrail_intervened sensitive error_toxic escalation",
    incomplete=(
        "cancelled aborted user_cancel time_limit timeout repetition repetition_truncation "
        "malformed_model_output malformed_tool_use"
    ),
    error="error insufficient_system_resource abort network_error",
)
# Google's compatible endpoint may send the number in place of the name. From 9 on, its two APIs count differently.
NUMBERS = _words(stop="1", length="2", content_filter="3 4 6 7 8", incomplete="5")
# Words that do not end an answer: DashScope sends "null" before the end.
NOT_YET = ("null", "not_finished", "finish_reason_unspecified", "0")
ENDINGS: dict[str, Mapping[str, str]] = {
    "chat": {**OLLAMA, **RESPONSES, **GEMINI, **MESSAGES, **NUMBERS, **CHAT_OWN},  # gateways pass the others' words on
    "responses": RESPONSES,
    "messages": MESSAGES,
    "gemini": {**GEMINI, **NUMBERS},
    "ollama": OLLAMA,
    "cohere": COHERE,
    "converse": CONVERSE,
    "interactions": INTERACTIONS,
    "opencode": OPENCODE,
}
FAILURES = {  # of the words that are errors; the others have only FAILURE
    "insufficient_system_resource": "the provider ran out of resources",  # DeepSeek
    "abort": "the server aborted the answer",  # vLLM, SGLang
    "network_error": "the provider ended the answer with a network error",  # Zhipu
}
FAILURE = "the provider ended the answer with an error"


def reason_of(api: str, word: str) -> str:
    """Returns the reason that a dialect's word means: one of events.REASONS, or ERROR."""
    return ENDINGS[api].get(word.lower().replace("-", "_"), UNKNOWN)
