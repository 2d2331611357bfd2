"""What is known about a model before it is loaded: size, licence, what has been checked. It changes no answer."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from mmsb.config import settings


@settings
class Card:
    """A model's card, for tables and for warnings before a download.

    Attributes:
        licence: the licence of the weights, in short.
        source: where the weights are published (a hub id or an address).
        paper: whether it is one of the systems that the benchmark's paper evaluates.
        gated: whether they are given out only after agreeing to terms.
        parameters: parameters in billions; None where not known.
        size_gb: the published files' size in GB; None where not known.
        verified: what was checked numerically, and against what.
        unverified: what was not.
        code: the repository of the authors' code that the settings were read in.
        commit: the commit that was read.
        recording: the recorded run of that code, in tests/originals, that the settings are held against.
        settings: file and line of the prompt, the picture and the end of an answer; decoding: see the protocols.
    """

    licence: str
    source: str
    paper: bool = False
    gated: bool = False
    parameters: float | None = None
    size_gb: float | None = None
    verified: str = ""
    unverified: str = ""
    code: str = ""
    commit: str = ""
    recording: str = ""
    # As data: tests hold the recording and the repository that a card names against its preset.
    settings: Mapping[str, str] = Field(default_factory=dict)
