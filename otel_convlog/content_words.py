"""The words of the protocols that are no content: keys, and what stands under some of them.

From the API references of OpenAI (chat completions, responses), Anthropic (messages) and Google (Gemini).
"""

from __future__ import annotations

from typing import Final


def _words(*texts: str) -> frozenset[str]:
    return frozenset(word for text in texts for word in text.split())


# Under these stands what people or models have written, in any form: their keys, too, are somebody's words.
WRITTEN: Final = _words(
    "arguments args input_schema parameters parametersJsonSchema responseSchema responseJsonSchema json_schema",
    "schema metadata properties partial_json action response_schema",
)

KEYS: Final = WRITTEN | _words(
    # requests
    "model messages system instructions input contents systemInstruction system_instruction stream stream_options",
    "include_usage temperature top_p top_k topP topK max_tokens max_completion_tokens max_output_tokens n stop seed",
    "stop_sequences stopSequences presence_penalty frequency_penalty logprobs top_logprobs logit_bias user tools",
    "tool_choice toolConfig tool_config function_call functions function functionDeclarations parallel_tool_calls",
    "response_format text format verbosity reasoning effort reasoning_effort thinking budget_tokens store include",
    "previous_response_id conversation conversation_id session_id chat_id service_tier prompt_cache_key truncation",
    "generationConfig generation_config safetySettings safety_settings maxOutputTokens candidateCount thinkingConfig",
    "thinkingBudget includeThoughts responseMimeType cache_control ttl strict background modalities audio prediction",
    # messages and their parts
    "role content type name id text tool_calls tool_call_id refusal reasoning_content parts thought thoughtSignature",
    "inlineData inline_data mimeType mime_type fileData file_data fileUri functionCall functionResponse",
    "function_response",
    "source media_type data url image_url file_id detail tool_use_id is_error signature citations annotations output",
    "call_id status summary encrypted_content phase description title tool_use_prompt index",
    # answers and streams
    "object created created_at choices message delta finish_reason stop_reason stop_sequence system_fingerprint",
    "candidates finishReason promptFeedback blockReason safetyRatings category probability blocked modelVersion",
    "responseId createTime usage usageMetadata response item item_id output_index content_index summary_index part",
    "sequence_number content_block obfuscation event event_counts error code param status_code incomplete_details",
    "reason bytes token logprob avgLogprobs tokenCount headers body stack stacktrace",
    # usage
    "prompt_tokens completion_tokens total_tokens input_tokens output_tokens cached_tokens reasoning_tokens",
    "prompt_tokens_details completion_tokens_details input_tokens_details output_tokens_details audio_tokens",
    "accepted_prediction_tokens rejected_prediction_tokens cache_creation_input_tokens cache_read_input_tokens",
    "cache_creation ephemeral_5m_input_tokens ephemeral_1h_input_tokens server_tool_use web_search_requests",
    "promptTokenCount candidatesTokenCount totalTokenCount cachedContentTokenCount thoughtsTokenCount",
    "toolUsePromptTokenCount promptTokensDetails candidatesTokensDetails modality",
)  # fmt: skip

# Keys whose numbers and truth values say nothing of what was said.
FIGURES: Final = _words(
    "stream include_usage temperature top_p top_k topP topK max_tokens max_completion_tokens max_output_tokens n",
    "presence_penalty frequency_penalty logprobs top_logprobs parallel_tool_calls budget_tokens store background",
    "maxOutputTokens candidateCount thinkingBudget includeThoughts strict thought is_error index created created_at",
    "blocked output_index content_index summary_index sequence_number status_code web_search_requests tokenCount",
)

_ROLES = _words("user assistant system developer tool function model")
_TYPES = _words(
    "text image image_url input_text input_image",
    "input_file input_audio output_text refusal summary_text reasoning_text",
    "document file audio video tool_use",
    "tool_result thinking redacted_thinking server_tool_use web_search_tool_result",
    "function function_call function_call_output custom custom_tool_call custom_tool_call_output message reasoning",
    "item_reference web_search_call file_search_call code_interpreter_call computer_call mcp_call local_shell_call",
    "base64 url ephemeral enabled disabled adaptive auto any none required tool json_object json_schema",
    "message_start message_delta message_stop content_block_start content_block_delta content_block_stop ping error",
    "text_delta input_json_delta thinking_delta signature_delta citations_delta openai_chunk event token",
    "response.created response.queued response.in_progress response.completed response.incomplete response.failed",
    "response.output_item.added response.output_item.done response.content_part.added response.content_part.done",
    "response.output_text.delta response.output_text.done response.refusal.delta response.refusal.done",
    "response.function_call_arguments.delta response.function_call_arguments.done",
    "response.reasoning_text.delta response.custom_tool_call_input.delta",
    "response.custom_tool_call_input.done response.reasoning_text.done",
    "response.reasoning_summary_part.added response.reasoning_summary_part.done",
    "response.reasoning_summary_text.delta response.reasoning_summary_text.done",
)  # fmt: skip
_ENDS = _words(
    "stop length tool_calls content_filter function_call",
    "end_turn max_tokens stop_sequence tool_use pause_turn refusal",
    "model_context_window_exceeded STOP MAX_TOKENS SAFETY RECITATION",
    "LANGUAGE OTHER BLOCKLIST PROHIBITED_CONTENT SPII",
    "MALFORMED_FUNCTION_CALL FINISH_REASON_UNSPECIFIED max_output_tokens",
)
_STATUSES = _words("completed incomplete in_progress failed cancelled queued searching")

# What a text under a key may be, so that it stays.
WORDS: Final = {
    "role": _ROLES,
    "type": _TYPES,
    "event": _TYPES,
    "finish_reason": _ENDS,
    "finishReason": _ENDS,
    "stop_reason": _ENDS,
    "reason": _ENDS,
    "status": _STATUSES,
    "object": _words(
        "chat.completion chat.completion.chunk text_completion response list model embedding thread.message"
    ),
    "effort": _words("none minimal low medium high xhigh max"),
    "reasoning_effort": _words("none minimal low medium high xhigh max"),
    "service_tier": _words("auto default flex priority scale standard standard_only batch"),
    "tool_choice": _words("auto none required any"),
    "mimeType": _words("image/png image/jpeg image/webp image/gif application/pdf text/plain application/json"),
    "media_type": _words("image/png image/jpeg image/webp image/gif application/pdf text/plain"),
}

# Headers that a client's software sets; what any other says may be a user's words, or tell who that is.
HEADERS: Final = _words(
    "accept accept-encoding accept-language anthropic-beta anthropic-version connection content-encoding",
    "content-length content-type host openai-beta transfer-encoding user-agent x-convlog-content",
    "x-stainless-arch x-stainless-async x-stainless-lang x-stainless-os x-stainless-package-version",
    "x-stainless-retry-count x-stainless-runtime x-stainless-runtime-version",
    "authorization proxy-authorization api-key x-api-key x-goog-api-key cookie set-cookie",
)
