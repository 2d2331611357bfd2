"""What an original asks of its sampler, and what comes back: one call of `generate`, noted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tools.originals.common import STEPS, Call

NEUTRAL = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0, "length_penalty": 1.0}
COUNTS = {"num_beams": 1, "no_repeat_ngram_size": 0}


def in_force(config: Any) -> dict[str, Any]:
    """The settings of a merged generation config that decide an answer, under one name each in any release."""
    beams = config.num_beams or 1
    found: dict[str, Any] = {"do_sample": bool(config.do_sample), "use_cache": config.use_cache is not False}
    for name, neutral in {**NEUTRAL, **COUNTS}.items():
        value = getattr(config, name)
        found[name] = type(neutral)(neutral if value is None else value)
    if not found["do_sample"]:
        found |= {name: NEUTRAL[name] for name in ("temperature", "top_p", "top_k")}
    if beams == 1:
        found["length_penalty"] = 1.0
    found["early_stopping"] = bool(config.early_stopping) if beams > 1 else False
    found["min_new_tokens"] = config.min_new_tokens or 0
    ends = config.eos_token_id
    found["ends"] = sorted({int(end) for end in (ends if isinstance(ends, list | tuple) else [ends])})
    return found


@contextmanager
def spied(model: Any, **instead: Any) -> Iterator[list[Call]]:
    """Watch a transformers model's `generate`; its sampling is switched off and its answer kept short.

    Args:
        model: the model whose `generate` is called.
        instead: arguments put in the place of those given, after those in force were noted.
    """
    calls: list[Call] = []
    inner = model.generate
    changes = {"do_sample": False, "max_new_tokens": STEPS, **instead}
    left_out = {"max_length"} if changes["do_sample"] else {"max_length", "temperature", "top_p", "top_k"}

    def generate(*args: Any, **kwargs: Any) -> Any:
        call = Call()
        calls.append(call)
        given = ids_given(args, kwargs)
        call.settings = settings(model, inner, given, args, kwargs)
        hook = model.register_forward_hook(lambda _, __, output: _note_step(call, output))
        before = model.register_forward_pre_hook(lambda _, __, named: _note_pass(call, named), with_kwargs=True)
        try:
            output = inner(*args, **{key: value for key, value in kwargs.items() if key not in left_out} | changes)
        finally:
            hook.remove()
            before.remove()
        call.tokens = getattr(output, "sequences", output)[0, given:].tolist()
        return output

    model.generate = generate
    try:
        yield calls
    finally:
        model.generate = inner


def ids_given(args: Any, kwargs: Mapping[str, Any]) -> int:
    """Token ids that `generate` gives back before the new ones; old releases begin with a BOS after embeddings."""
    import transformers

    prompt = kwargs.get("input_ids", args[0] if args else None)
    if prompt is not None:
        return int(prompt.shape[1])
    return 1 if transformers.__version__.startswith("4") else 0


class _Noted(Exception):
    """The settings are known; nothing needs to be generated."""


def settings(model: Any, inner: Any, given: int, args: Any, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Run `generate` as it was called up to where it has merged its settings; those in force."""
    found: dict[str, Any] = {}
    processor = model._get_logits_processor

    def note(*positional: Any, **named: Any) -> Any:
        config: Any = named.get("generation_config", positional[0] if positional else None)
        found.update(in_force(config))
        longest = config.max_new_tokens
        found["max_new_tokens"] = config.max_length - given if longest is None else longest
        found["min_new_tokens"] = max(found["min_new_tokens"], (kwargs.get("min_length") or 0) - given, 0)
        raise _Noted

    model._get_logits_processor = note
    try:
        inner(*args, **kwargs)
    except _Noted:
        pass
    finally:
        model._get_logits_processor = processor
    return found


def _note_step(call: Call, output: Any) -> None:
    call.logits.append(output.logits[0, -1].detach().float().cpu().clone())


def _note_pass(call: Call, given: Mapping[str, Any]) -> None:
    tokens = given.get("inputs_embeds") if given.get("inputs_embeds") is not None else given.get("input_ids")
    call.passes.append(0 if tokens is None else int(tokens.shape[1]))
