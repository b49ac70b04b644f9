"""What each dialect reads of the types that the SDKs have for an answer, and why it leaves the rest.

A name is `TYPE` for an event, a delta, a content block or an item, by the word that says its type on the wire;
`TYPE.field` for a field, where the SDK's class stands for a type that has no such word; `TYPE.field=word` for a word
that a field may have. A pattern (`*`) stands for many. What is below a name that is not read needs no row.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import anthropic.types as anthropic
import ollama
import openai.types as openai
from anthropic.types import beta
from openai.types import chat, responses


class Wire(NamedTuple):
    """What a dialect reads of its SDK's types."""

    roots: tuple[Any, ...]  # the types of events and of whole answers
    modules: tuple[str, ...]  # what reads them, below llmstream
    read: str  # names and patterns
    ignored: dict[str, str]  # names and patterns, separated by blanks -> the reason


AUDIO = "the sound itself; its transcript is the text"
CLIENT_CALL = "a part of a call's arguments, which are passed on whole"
CLOCK = "a date or a duration; llmstream has its own clock"
INDEX = "an index or an id of a part; the parts come one after the other"
KNOWN = "clear from other fields"
MODEL = "a model's name is passed on whatever it is"
OPAQUE = "of use only in a next request of a program that keeps all blocks"
PADDING = "filler against guesses from the length"
PROGRESS = "the progress of a tool that runs at the provider"
REPEATED = "repeats the deltas"
REQUEST = "repeats the request, or tells what became of a part of it"
SERVER_TOOL = "a tool that runs at the provider; the text says what came of it"
SHARE = "a share of a count that is read"
TIER = "a tier is passed on whatever it is"
UNASKED = "comes only where the request asks for it, and no option does"

CHAT = Wire(
    (chat.ChatCompletionChunk, chat.ChatCompletion, openai.Completion),
    ("core/decoder.py", "dialects/chat.py"),
    """
    ChatCompletion.id ChatCompletionChunk.id ChatCompletion*.model ChatCompletion*.choices ChatCompletion*.usage
    ChatCompletion*.service_tier Choice.*
    CompletionChoice.text CompletionChoice.index CompletionChoice.finish_reason* CompletionChoice.logprobs
    Completion.id Completion.model Completion.choices Completion.usage
    ChoiceDelta.content ChoiceDelta.refusal ChoiceDelta.audio ChoiceDelta.tool_calls ChoiceDelta.function_call
    ChatCompletionMessage.content ChatCompletionMessage.refusal ChatCompletionMessage.audio
    ChatCompletionMessage.tool_calls ChatCompletionMessage.function_call ChatCompletionMessage.annotations
    *Audio.transcript *Audio.data
    ChoiceDeltaToolCall.index ChoiceDeltaToolCall.id ChoiceDeltaToolCall.function function function.id function.function
    ChoiceDeltaFunctionCall.* ChoiceDeltaToolCallFunction.* FunctionCall.* Function.*
    custom custom.id custom.custom Custom.name Custom.input
    url_citation url_citation.url_citation AnnotationURLCitation.*
    ChoiceLogprobs.* Logprobs.tokens
    CompletionUsage.* PromptTokensDetails.cached_tokens PromptTokensDetails.cache_write_tokens
    CompletionTokensDetails.reasoning_tokens
    """,
    {
        "*.object *.role *.type": KNOWN,
        "*.created *.expires_at": CLOCK,
        "*Audio.id": AUDIO,
        "*.obfuscation": PADDING,
        "*.metadata *.moderation": UNASKED,
        "*.system_fingerprint": "tells builds of the server apart",
        "*.service_tier=*": TIER,
        "ChatCompletionTokenLogprob.* Logprobs.*": "passed on whole",
        "*TokensDetails.audio_tokens *TokensDetails.text_tokens PromptTokensDetails.image_tokens": SHARE,
        "CompletionTokensDetails.accepted_prediction_tokens": SHARE,
        "CompletionTokensDetails.rejected_prediction_tokens": SHARE,
    },
)

RESPONSES = Wire(
    (responses.ResponseStreamEvent, responses.Response),
    ("core/decoder.py", "dialects/responses.py", "dialects/responses_output.py", "core/provider_errors.py"),
    """
    response.created response.in_progress response.queued response.completed response.incomplete response.failed
    response.*.response *.sequence_number error error.code error.message
    response.output_item.added* response.output_item.done*
    response.output_text.delta response.output_text.delta.delta response.output_text.delta.logprobs
    response.output_text.done response.output_text.done.text
    response.output_text.annotation.added response.output_text.annotation.added.annotation
    response.output_text.done.logprobs response.refusal.* response.refusal.delta.delta response.refusal.done.refusal
    response.reasoning_text.* response.reasoning_text.delta.delta response.reasoning_text.done.text
    response.reasoning_summary_text.* response.reasoning_summary_text.delta.delta
    response.reasoning_summary_text.done.text
    response.content_part.done response.content_part.done.part
    response.reasoning_summary_part.done response.reasoning_summary_part.done.part
    response.function_call_arguments.* response.custom_tool_call_input.*
    response.audio.delta response.audio.transcript.delta response.audio.transcript.delta.delta
    Response.id Response.model Response.status Response.output Response.error Response.incomplete_details
    Response.usage Response.service_tier Response.tool_usage
    Response.status=*
    IncompleteDetails.reason*
    ResponseError.code* ResponseError.message ResponseError.misalignment Misalignment.detailed_explanation
    ResponseUsage.* InputTokensDetails.cached_tokens InputTokensDetails.cache_write_tokens
    InputTokensDetails.cache_write_tokens_details InputTokensDetailsCacheWriteTokensDetails.ttl_12h_tokens
    OutputTokensDetails.reasoning_tokens ToolUsage.web_search ToolUsageWebSearch.num_requests
    message message.id message.content message.phase
    output_text output_text.text output_text.annotations output_text.logprobs refusal refusal.refusal
    url_citation url_citation.* file_citation file_citation.filename file_citation.index
    container_file_citation container_file_citation.filename container_file_citation.*_index
    image_generation_call image_generation_call.result web_search_call web_search_call.status web_search_call.action
    tool_search_call tool_search_call.execution tool_search_call.arguments tool_search_call.call_id
    *_call_output *_call_output.call_id local_shell_call_output.id
    reasoning reasoning.encrypted_content reasoning.summary reasoning.content summary_text summary_text.text
    reasoning_text reasoning_text.text
    function_call function_call.id function_call.call_id function_call.name function_call.arguments
    custom_tool_call custom_tool_call.id custom_tool_call.call_id custom_tool_call.name custom_tool_call.input
    shell_call shell_call.id shell_call.call_id shell_call.action shell_call.environment
    local_shell_call local_shell_call.id local_shell_call.call_id local_shell_call.action
    apply_patch_call apply_patch_call.id apply_patch_call.call_id apply_patch_call.operation
    computer_call computer_call.id computer_call.call_id computer_call.action computer_call.actions
    mcp_approval_request mcp_approval_request.id mcp_approval_request.name mcp_approval_request.arguments
    """,
    {
        "*.content_index *.output_index *.summary_index *.annotation_index *.item_id reasoning.id": INDEX,
        "response.content_part.added response.reasoning_summary_part.*": "frames parts whose texts are read",
        "response.audio.delta.delta response.audio.done response.audio.transcript.done": AUDIO,
        "response.shell_call_command.* response.shell_call_output_content.*": "repeated in the item at its end",
        "response.*_call.* response.*_call_code.* response.mcp_* response.compaction.*": PROGRESS,
        "*_call_output.* file_search_call *_search_output mcp_call mcp_list_tools program program_output": SERVER_TOOL,
        "code_interpreter_call image_generation_call.* search open_page find_in_page": SERVER_TOOL,
        "additional_tools mcp_approval_response": REQUEST,
        "compaction": OPAQUE,
        "*file_citation.*_id file_path": "a file at the provider: it has no address",
        "Logprob.*": "passed on whole",
        "click double_click drag keypress move screenshot scroll type wait exec Action.*": CLIENT_CALL,
        "create_file delete_file update_file": CLIENT_CALL,
        "local container_reference": KNOWN,
        "*_call.async *_call.caller *_call.namespace *_call.created_by *_search_call.id": OPAQUE,
        "computer_call.pending_safety_checks mcp_approval_request.server_label": CLIENT_CALL,
        "message.role *.object": KNOWN,
        "message.phase=* *_call.status=* *_call.execution=*": "the code compares one of the words",
        "message.status reasoning.status *_call.status": "the response's status counts",
        "*.created_at *.completed_at": CLOCK,
        "ResponseError.param ResponseError.type error.param Misalignment.*": "the message says it",
        "Response.model=*": MODEL,
        "Response.service_tier=*": TIER,
        "Response.instructions Response.tools Response.tool_choice Response.parallel_tool_calls": REQUEST,
        "Response.temperature Response.top_p Response.top_logprobs Response.reasoning Response.text": REQUEST,
        "Response.background Response.conversation Response.image Response.input_transformations": REQUEST,
        "Response.max_output_tokens Response.max_tool_calls Response.truncation Response.metadata": REQUEST,
        "Response.previous_response_id Response.prompt Response.prompt_cache_* Response.user": REQUEST,
        "Response.safety_identifier Response.access_programs": REQUEST,
        "Response.moderation": UNASKED,
        "ToolUsage.image_gen": SERVER_TOOL,
        "InputTokensDetailsCacheWriteTokensDetails.ttl_30m_tokens": SHARE,
    },
)

MESSAGES = Wire(
    (
        anthropic.RawMessageStreamEvent, anthropic.Message, anthropic.ErrorResponse,
        beta.BetaRawMessageStreamEvent, beta.BetaMessage,
    ),
    ("core/decoder.py", "dialects/messages.py", "core/provider_errors.py"),
    """
    message_start message_start.message message_delta message_delta.delta message_delta.usage message_stop
    content_block_start content_block_start.* content_block_delta content_block_delta.* content_block_stop
    message message.id message.model message.content message.usage message.stop_reason* message.stop_details
    Delta.stop_reason* Delta.stop_details advisor_message fallback_message
    refusal refusal.explanation refusal.category
    text text.text text.citations thinking thinking.thinking redacted_thinking
    tool_use tool_use.id tool_use.name tool_use.input
    text_delta text_delta.text thinking_delta thinking_delta.thinking
    input_json_delta input_json_delta.partial_json citations_delta citations_delta.citation
    web_search_result_location web_search_result_location.url web_search_result_location.title
    search_result_location search_result_location.source search_result_location.title
    char_location char_location.document_title page_location page_location.document_title
    content_block_location content_block_location.document_title
    web_search_tool_result web_search_tool_result.content web_search_result web_search_result.url
    web_search_result.title
    fallback fallback.to FallbackInfo.model container_upload
    error error.error invalid_request_error authentication_error billing_error permission_error not_found_error
    rate_limit_error timeout_error api_error overloaded_error *_error.message
    *Usage.input_tokens *Usage.output_tokens *Usage.cache_creation *Usage.cache_creation_input_tokens
    *Usage.cache_read_input_tokens *Usage.output_tokens_details *Usage.server_tool_use *Usage.iterations
    Usage.service_tier Usage.speed *message.*_tokens *message.cache_creation
    *message.model
    CacheCreation.ephemeral_1h_input_tokens OutputTokensDetails.thinking_tokens ServerToolUsage.web_search_requests
    """,
    {
        "*_location.cited_text *_location.document_index *_location.search_result_index *_location.file_id": INDEX,
        "*_location.start_* *_location.end_*": "counted in the document, not in the answer",
        "web_search_result_location.encrypted_index *.signature signature_delta redacted_thinking.data": OPAQUE,
        "compaction compaction_delta *.caller *.container *.file_id": OPAQUE,
        "fallback.from fallback.trigger": "the user has no use for it",
        "web_search_tool_result_error web_search_tool_result.tool_use_id web_search_result.*": SERVER_TOOL,
        "server_tool_use mcp_tool_use mcp_tool_listing *_tool_result": SERVER_TOOL,
        "tool_use.toolset_name": OPAQUE,
        "message.role content_block_stop.index": KNOWN,
        "*message.model=* FallbackInfo.model=*": MODEL,
        "*.stop_sequence": "the reason says that it was a stop sequence",
        "refusal.category=*": "a category is passed on whatever it is",
        "refusal.fallback_* refusal.recommended_model *.fallback_credit": UNASKED,
        "*.context_management *.input_transformations *.diagnostics": REQUEST,
        "CacheCreation.ephemeral_5m_input_tokens": "what is left of the cache writes",
        "ServerToolUsage.web_fetch_requests": "a fetch costs its tokens only",
        "Usage.inference_geo": "where it was computed",
        "Usage.service_tier=* Usage.speed=*": TIER,
        "error.request_id": "the header has it",
        "thinking_delta.estimated_tokens": "the usage has the count",
    },
)  # fmt: skip

OLLAMA = Wire(
    (ollama.ChatResponse, ollama.GenerateResponse),
    ("core/decoder.py", "dialects/ollama.py"),
    """
    *Response.model *Response.done *Response.done_reason *Response.prompt_eval_count *Response.eval_count
    *Response.message *Response.response *Response.thinking *Response.logprobs
    Message.content Message.thinking Message.tool_calls ToolCall.function Function.name Function.arguments
    """,
    {
        "*.created_at *_duration": CLOCK,
        "Message.role Message.tool_name Message.images": "not in an answer",
        "Logprob.*": "passed on whole",
        "GenerateResponse.context": OPAQUE,
        "GenerateResponse.image GenerateResponse.completed GenerateResponse.total": "of models that draw",
    },
)

WIRES = {"chat": CHAT, "responses": RESPONSES, "messages": MESSAGES, "ollama": OLLAMA}

# The words of the SDKs' types for errors, and what an attempt does after each.
ERRORS = {
    "refused": """
    invalid_prompt data_residency_mismatch bio_policy misalignment_policy_violation invalid_image invalid_image_format
    invalid_base64_image invalid_image_url image_too_large image_too_small image_parse_error
    image_content_policy_violation invalid_image_mode image_file_too_large unsupported_image_media_type
    empty_image_file failed_to_download_image image_file_not_found
    invalid_request_error authentication_error billing_error permission_error not_found_error
    """,
    "temporary": """
    server_error rate_limit_exceeded vector_store_timeout
    rate_limit_error timeout_error api_error overloaded_error
    memory_precondition_failed_error memory_path_conflict_error conflict_error
    """,
}
