"""Protocols: how a system is asked and how it decodes, by whom it is asked so.

    authors   as the system's authors evaluate it: the default
    demo      as their demo answers
    greedy    one decoding for all local models, for comparisons between systems: no sampling, beams or penalties

A preset declares the first two as data, each with its source; what it does not declare it refuses. The prompt, the
picture and the longest answer stay the authors' in `greedy`. Only the target follows `protocol=`: judges and helpers do
not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, PositiveInt

from mmsb.config import settings
from mmsb.errors import ConfigError
from mmsb.resolvers import AUTHORS

GREEDY = "greedy"


@settings
class Protocol:
    """How one of the authors' programs asks.

    Attributes:
        source: file and line in the repository of the model's card.
        generation: the arguments of `generate`; greedy where empty.
        max_new_tokens: the longest answer, where it differs between protocols.
        words: words of the prompt that differ between protocols.
        held: whether these settings were compared with a recorded run of that code; else they were read.
    """

    source: str
    generation: dict[str, Any] = Field(default_factory=dict)
    max_new_tokens: PositiveInt | None = None
    words: dict[str, str] = Field(default_factory=dict)
    held: bool = False


def decoding(protocol: str, declared: Mapping[str, Protocol], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `generate`: the protocol's, with the changes of `model.generation` (null takes one out).

    Raises:
        ConfigError: the model does not declare the protocol, or changes under `greedy`, which is one for all.
    """
    if protocol == GREEDY:
        if changes:
            named = ", ".join(f"model.generation.{key}={value}" for key, value in changes.items())
            # With changes it would be another decoding for this model alone, under the name of the one for all.
            raise ConfigError(f"protocol=greedy decodes all models alike, without {named}", "Use protocol=authors.")
        return {}
    if protocol not in declared and protocol != AUTHORS:
        known = dict.fromkeys((AUTHORS, *declared, GREEDY))
        raise ConfigError(f"protocol={protocol} is not declared for this model", f"It has {', '.join(known)}.")
    base = declared[protocol].generation if protocol in declared else {}
    return {key: value for key, value in {**base, **changes}.items() if value is not None}
