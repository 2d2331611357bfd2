"""What the offline reading is, as one digest: its code, its phrases and its weights."""

from __future__ import annotations

from functools import cache

from mmsb.digest import digest, digest_file, digest_of_code
from mmsb.judge import (
    answers,
    clauses,
    dense,
    features,
    languages,
    needed,
    patterns,
    phrases,
    stance,
    thinking,
    trained,
)


@cache
def identity() -> str:
    """Digest of everything that a reading depends on."""
    # All modules by name: one that is left out would let old readings stand under new rules.
    modules = (answers, clauses, dense, features, languages, needed, patterns, phrases, stance, thinking, trained)
    code = digest_of_code(*modules)
    return digest([code, digest_file(phrases.FILE), digest_file(trained.WEIGHTS)])
