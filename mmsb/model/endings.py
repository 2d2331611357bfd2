"""How servers say that an answer ended, was filtered, or broke off: each in words of its own.

A filter's refusal is an outcome: asked again it would be the same. What broke off is no answer, and is asked again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from mmsb.types import Finish

# Whatever else a server says is a normal end: "eos", "tool_calls" and the like are spelled by each in its own way.
FINISHES: dict[str, Finish] = {
    # Mistral's; GLM's and Anthropic's
    **dict.fromkeys(("length", "max_tokens", "model_length", "model_context_window_exceeded"), "length"),
    # OpenAI's word; Google's, which its OpenAI-compatible endpoint passes on in capitals, some behind "IMAGE_"; those
    # of Bedrock, Cohere, GLM and Anthropic. An answer that was kept back would else be an empty one.
    **dict.fromkeys(("content_filter", "content_filtered", "contentfilter", "error_toxic"), "content_filter"),
    **dict.fromkeys(("safety", "prohibited_content", "blocklist", "spii", "recitation"), "content_filter"),
    **dict.fromkeys(("guardrail_intervened", "model_armor", "sensitive", "refusal"), "content_filter"),
}
# The server gave up half way: vLLM's and Cohere's words, GLM's, DeepSeek's.
BROKEN = ("error", "abort", "timeout", "network_error", "insufficient_system_resource")
# Of an error, without "_" and in small letters: OpenAI's and Azure's, Alibaba's, Bedrock's, GLM's. Volcengine's say
# what was looked at before it: InputImageSensitiveContentDetected.
CODES = re.compile(
    r"contentfilter|contentpolicyviolation|moderationblocked|datainspectionfailed|guardrailintervened|1301"
    r"|\w*sensitivecontentdetected.*"
)
# xAI's and OpenAI's reasoning models name no code of their own for it; LiteLLM keeps it in the message alone.
SAID = re.compile(
    r"content violates usage guidelines|flagged as potentially violating our usage policy|ContentPolicyViolationError",
    re.IGNORECASE,
)


def finish_of(reason: str | None) -> Finish:
    """What a server's finish_reason means, however it is spelled: "content_filter: OTHER", "SAFETY", "MAX_TOKENS"."""
    return FINISHES.get(_word(reason).removeprefix("image_"), "stop")


def broken(reason: str | None) -> bool:
    """Whether a finish_reason says that the server gave up half way."""
    return _word(reason) in BROKEN


def filtered(error: object) -> bool:
    """Whether an error, or what stands in its place, says that a content filter refused the request."""
    if isinstance(error, str):
        return bool(SAID.search(error))
    if not isinstance(error, Mapping):
        return False
    # Azure names it in "code", others in "type".
    codes = (str(error.get(name)).replace("_", "").lower() for name in ("code", "type"))
    if any(CODES.fullmatch(code) for code in codes) or SAID.search(str(error.get("message"))):
        return True
    metadata = error.get("metadata")  # OpenRouter: 403 with the reasons a moderation gave
    return isinstance(metadata, Mapping) and "flagged_input" in metadata


def _word(reason: str | None) -> str:
    return (reason or "").lower().partition(":")[0].strip().replace("-", "_")
