"""What the offline reading is, as one digest: its code, its phrases and its weights."""

from __future__ import annotations

from functools import cache

from mmsb.digest import digest, digest_file, digest_of_code
from mmsb.judge import (
    answers,
    clauses,
    comprehension,
    dense,
    features,
    languages,
    needed,
    patterns,
    phrases,
    picture_only,
    stance,
    thinking,
    trained,
    wrapped,
)


@cache
def identity() -> str:
    """Digest of everything that a reading depends on."""
    # All modules by name: one that is left out would let old readings stand under new rules.
    rules = (answers, clauses, comprehension, dense, features, languages, needed, patterns)
    code = digest_of_code(*rules, phrases, picture_only, stance, thinking, trained, wrapped)
    return digest([code, digest_file(phrases.FILE), digest_file(trained.WEIGHTS)])
