"""What a server says of a batch, checked: some that have this interface leave fields out, or spell them otherwise."""

from __future__ import annotations

from dataclasses import dataclass

from mmsb.replies import Malformed, shown_bytes

ENDED = ("completed", "failed", "expired", "cancelled")
CROWDED = ("token_limit_exceeded", "enqueued token limit")  # OpenAI's code of it, and its words


@dataclass(frozen=True)
class State:
    """A batch at the server.

    Attributes:
        id: the server's name of it.
        status: OpenAI's word, in small letters.
        requests: the server's name of the file that was submitted.
        answers: of the file with the answers; None where there is none, or not yet.
        errors: of the file with what failed, likewise.
        answered: prompts with an answer, as the server counts; None where it does not say.
        failed: prompts without, likewise.
        reason: why it was refused as a whole; "" where nothing is said.
        full: whether that is for all that the account has in its batches.
    """

    id: str
    status: str
    requests: str | None
    answers: str | None
    errors: str | None
    answered: int | None
    failed: int | None
    reason: str
    full: bool = False

    @property
    def crowded(self) -> bool:
        """The account had no room for it, and nothing of it was answered."""
        return self.status == "failed" and self.full and not self.answers and not self.answered

    @property
    def ended(self) -> bool:
        """Nothing more is answered."""
        return self.status in ENDED

    @property
    def unnamed(self) -> bool:
        """It has answers, and names no file with them: some servers name it a while after they say "completed"."""
        told = self.answered if self.answered is not None else self.status == "completed" and not self.errors
        return bool(told) and not self.answers

    @property
    def incomplete(self) -> bool:
        """It has ended, and a file that it should name is not named yet."""
        return self.ended and (self.unnamed or (bool(self.failed) and not self.errors))

    def answers_of(self, prompts: int, failed: int) -> int:
        """How many lines the file of answers has, if that can be known; of the prompts so many were told as failed."""
        if self.answered is not None:
            return self.answered
        return prompts - failed if self.status == "completed" else 0

    def told(self, prompts: int, url: str) -> str:
        """A line about it for the person who waits; it is at the server of this URL."""
        counted = self.answered is not None and self.failed is not None
        done = f", {self.answered:,} answered, {self.failed:,} failed" if counted else ""
        line = f"batch {self.id} at {url}: {prompts:,} prompt{'s' * (prompts != 1)}, {self.status}{done}"
        if self.crowded:
            return f"{line}: {self.reason}"
        return line if self.ended else f"{line} (Ctrl-C leaves it there; the same command collects it)"


def state_of(batch: object) -> State:
    """A batch as the client has it: its fields hold whatever came.

    Raises:
        Malformed: no name or no status.
    """
    name, status = getattr(batch, "id", None), getattr(batch, "status", None)
    if not isinstance(name, str) or not isinstance(status, str):
        raise Malformed(f"not a batch: {shown_bytes(str(batch).encode())}")
    counts, errors = getattr(batch, "request_counts", None), getattr(batch, "errors", None)
    return State(
        id=name,
        status=status.lower(),
        requests=_text(batch, "input_file_id"),
        answers=_text(batch, "output_file_id"),
        errors=_text(batch, "error_file_id"),
        answered=_count(counts, "completed"),
        failed=_count(counts, "failed"),
        reason=_reason(errors),
        full=any(word in str(errors).lower() for word in CROWDED),
    )


def _text(holder: object, name: str) -> str | None:
    """A name; None for none, also where it is empty (Azure)."""
    found = getattr(holder, name, None)
    return found if isinstance(found, str) and found else None


def _count(holder: object, name: str) -> int | None:
    found = getattr(holder, name, None)
    return found if isinstance(found, int) else None


def _reason(errors: object) -> str:
    data = getattr(errors, "data", None)
    if isinstance(data, list):
        return "; ".join(str(getattr(error, "message", error)) for error in data)
    return str(errors or "")
