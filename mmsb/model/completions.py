r"""A text that is whole as it is, at an endpoint: `/completions`, where no chat template is put around it.

{"model": "m", "prompt": "<s><|user|>\\n[INST] ...", "add_special_tokens": false, "max_tokens": 32, "temperature": 0}

{"choices": [{"text": "Harmful request: no\\n...", "finish_reason": "stop", "logprobs": {"tokens": [...], ...}}]}

The text holds the model's first token itself, so the server must add none: `add_special_tokens` says so to vLLM. SGLang
and llama.cpp know no such field and put that token before every text: they are sent what follows it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson
from msgspec import UNSET

from mmsb.errors import ModelError
from mmsb.model.chances import LIKELIEST, chances
from mmsb.model.chat import first_choice, without_thoughts
from mmsb.model.endings import finish_of
from mmsb.replies import Completion, TextChoice, parse_completion, parse_usage
from mmsb.types import How, Prompt, Response, clean

OLLAMA = "fp_ollama"  # what it calls itself in every reply
LLAMA_CPP = re.compile(r"b\d+-[0-9a-f]+")  # build and commit
# Of Llama 2 and Mistral, Gemma, Llama 3, DeepSeek; Qwen's models have none.
FIRST_TOKEN = re.compile(r"<s>|<bos>|<\|begin_of_text\|>|<\uff5cbegin\u2581of\u2581sentence\uff5c>")


def as_guard(body: Mapping[str, Any], how: How, max_tokens_parameter: str) -> dict[str, Any]:
    """What a guard's way of asking changes in a request without its messages.

    Args:
        body: the request as the engine's settings make it.
        how: the guard's way.
        max_tokens_parameter: what this endpoint calls the longest reply in a chat; a completion has "max_tokens".
    """
    asked = dict(body)
    most = how.max_tokens or asked[max_tokens_parameter]
    if how.whole:
        # /completions knows "max_tokens" alone, whatever the chat's parameter is called.
        del asked[max_tokens_parameter]
        asked["max_tokens"] = most
    else:
        asked[max_tokens_parameter] = most
        # Sent only where there are some: OpenAI refuses a field that it does not know.
        if arguments := orjson.loads(how.arguments):
            asked["chat_template_kwargs"] = {**asked.get("chat_template_kwargs", {}), **arguments}
    if how.words:
        asked |= {"logprobs": LIKELIEST} if how.whole else {"logprobs": True, "top_logprobs": LIKELIEST}
    return asked


def completion_request(prompt: Prompt, rest: Mapping[str, Any], adds_first_token: bool = False) -> bytes:
    """The request's body as JSON: the text as it is, beside model and sampling settings.

    Args:
        prompt: its text.
        rest: model and sampling settings.
        adds_first_token: the server puts the model's first token before every text, so the text goes without it.
    """
    text = clean(prompt.text)
    if adds_first_token:
        first = FIRST_TOKEN.match(text)
        return orjson.dumps({**rest, "prompt": text[first.end() :] if first else text})
    return orjson.dumps({**rest, "add_special_tokens": False, "prompt": text})


def read_completion(body: bytes, how: How, sent: str = "") -> Response:
    """A completion as a Response; `sent` is the text as it went out.

    Raises:
        Refused: an error that names its status in place of an answer.
        Malformed: not JSON, no choices, another error, or a server that gave up half way.
        ModelError: the server put a template around the text, or the first token before it a second time.
    """
    completion = parse_completion(body)
    # openai/openai.go of github.com/ollama/ollama at 634c416: no request of this form is a raw one.
    if completion.system_fingerprint == OLLAMA:
        raise ModelError(
            "Ollama puts the model's own template around what it is sent at /completions: the format was read inside "
            "of another one",
            "Serve the model with vLLM. Where Ollama's template of it is the guard's (llama-guard3, shieldgemma), "
            "judge.template=null sends turns in place of the format.",
        )
    choice, usage = first_choice(completion.choices, completion.error, body), parse_usage(bytes(completion.usage))
    if choice is None:
        return Response("", "content_filter")
    if FIRST_TOKEN.match(sent) and (name := _doubling(completion, choice)):
        raise ModelError(
            f"{name} puts the model's first token before every text at /completions: the guard's own had it twice",
            "Set adds_first_token=true for the guard's model (judge.model.adds_first_token=true), as the preset sglang "
            "does: then the text goes without it.",
        )
    text = without_thoughts(choice.text)
    found = None
    if how.words and (tokens := choice.logprobs):
        found = chances(tokens.places, how, text)
    finish = finish_of(choice.finish_reason)
    return Response(text, finish, usage.given, usage.came, chances=found)


def _doubling(completion: Completion, choice: TextChoice) -> str | None:
    """The server that replied so, where it is one that adds a first token whatever it is asked."""
    # protocol.py (CompletionResponseChoice; CompletionRequest has no field for it) of github.com/sgl-project/sglang at
    # 004c82e; tools/server of github.com/ggml-org/llama.cpp, which warns of it in its log.
    if choice.matched_stop is not UNSET:
        return "SGLang"
    return "llama.cpp" if LLAMA_CPP.fullmatch(str(completion.system_fingerprint)) else None
