"""Settings that would change nothing are refused: a run that looks like another measurement and is the same one.

Engines check themselves when they are built: local ones with `check_local`, endpoints with `check_endpoint`.
"""

from __future__ import annotations

from collections.abc import Mapping

from mmsb.errors import ConfigError

SAMPLING = ("temperature", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff", "top_h")
BEAMS = ("length_penalty", "early_stopping", "num_beam_groups", "diversity_penalty")
OWN_SETTINGS = {  # fields of a request that the settings name, or that would make the reply another one
    "model": "Set model.name: answers are stored and told under it.",
    "messages": "The prompt goes there.",
    "prompt": "The prompt goes there.",
    "max_tokens": "Set model.max_tokens.",
    "max_completion_tokens": "Set model.max_tokens, and model.max_tokens_parameter=max_completion_tokens.",
    "n": "Only one answer of a reply is read: set model.repeats.",
    "stream": "Replies are read whole.",
}
NEUTRAL = {"top_p": 1, "top_k": -1, "min_p": 0}  # of an endpoint: what limits nothing
REPEATS = "Add +model.generation.do_sample=true +model.generation.temperature=1.0, or set model.repeats=1."


def check_local(generation: Mapping[str, object], repeats: int, seed: int = 0) -> None:
    """Check what transformers' `generate` will be given.

    Args:
        generation: its arguments as the settings have them; without do_sample it is greedy.
        repeats: how many times each prompt is asked.
        seed: of the sampling.

    Raises:
        ConfigError: sampling settings or a seed without sampling, beam settings without beams, or repeats of one
            answer.
    """
    samples = bool(generation.get("do_sample"))
    beams = generation.get("num_beams")
    idle = [] if samples else _set(generation, SAMPLING)
    if idle:
        raise ConfigError(
            f"{_named(idle, generation)}: without do_sample that changes nothing",
            f"Add +model.generation.do_sample=true, or take it out: ~model.generation.{idle[0]}",
        )
    if seed and not samples:
        raise ConfigError(
            f"model.seed={seed}: without do_sample that changes nothing",
            "Add +model.generation.do_sample=true, or leave the seed out.",
        )
    if samples and _is(generation.get("temperature"), 0):
        raise ConfigError(
            "model.generation.temperature=0 with do_sample=true: no sampling is that cold",
            "Leave both out: an answer is greedy by itself.",
        )
    # transformers takes them and does nothing with them.
    if beams in (None, 1) and (idle := _set(generation, BEAMS)):
        raise ConfigError(
            f"{_named(idle, generation)}: without beams that changes nothing",
            f"Add +model.generation.num_beams=5, or take it out: ~model.generation.{idle[0]}",
        )
    if repeats > 1 and not samples:
        raise ConfigError(
            f"model.repeats={repeats} asks for the same answer {repeats} times: it does not sample", REPEATS
        )


def check_endpoint(
    temperature: float | None, top_p: float | None, repeats: int, extra_body: Mapping[str, object]
) -> None:
    """Check what an endpoint will be sent; a temperature in `extra_body` goes before the setting.

    Raises:
        ConfigError: `extra_body` takes the place of a setting; at temperature 0: repeats, or a limit on what is
            sampled from.
    """
    for name, remedy in OWN_SETTINGS.items():
        if name in extra_body:
            raise ConfigError(f"model.extra_body.{name} is no further field of the request", remedy)
    heat = extra_body.get("temperature", temperature)
    if not _is(heat, 0):  # None: the endpoint's own, which samples
        return
    if repeats > 1:
        raise ConfigError(
            f"model.repeats={repeats} at temperature 0 asks for the same answer {repeats} times",
            "Set model.temperature=1, or model.repeats=1.",
        )
    limits = {"top_p": top_p, **{name: extra_body[name] for name in NEUTRAL if name in extra_body}}
    idle = [name for name, value in limits.items() if value is not None and not _is(value, NEUTRAL[name])]
    if idle:
        raise ConfigError(
            f"{', '.join(f'{name}={limits[name]}' for name in idle)}: at temperature 0 that changes nothing",
            "Set model.temperature=1, or leave it out.",
        )


def _set(generation: Mapping[str, object], names: tuple[str, ...]) -> list[str]:
    return [name for name in names if generation.get(name) is not None]


def _named(names: list[str], generation: Mapping[str, object]) -> str:
    return ", ".join(f"model.generation.{name}={generation[name]}" for name in names)


def _is(value: object, number: float) -> bool:
    # `false` equals 0 in Python and is no temperature.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == number
