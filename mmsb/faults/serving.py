"""Serving faults to whoever asks, and keeping the record of what came and what was sent."""

from __future__ import annotations

import collections
import ssl
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Annotated, Any

import orjson
from pydantic import Field, PositiveFloat, PositiveInt

from mmsb.config import settings, suggestion
from mmsb.digest import digest
from mmsb.errors import ConfigError, StoreError
from mmsb.faults.catalogue import catalogue
from mmsb.faults.certificate import self_signed
from mmsb.faults.fault import KINDS, Fault
from mmsb.faults.replies import Act, Messages, completion, error, text_of
from mmsb.faults.server import ChatServer

NAMED_STOPS = "stops"
LETTERS, A_TURN = 4, 8  # that a token has; tokens around a turn


class Plan:
    """Which fault each prompt meets: those chosen, in turn, in the order in which prompts first come."""

    def __init__(self, faults: Sequence[Fault], share: float, times: int, limit: float | None, ban: float) -> None:
        """See `Faults`."""
        self.faults = faults
        self.share = share
        self.times = times
        self.limiter = Limiter(limit, ban) if limit else None
        self.of: dict[str, Fault | None] = {}
        self.met: collections.Counter[str] = collections.Counter()
        self.answers: collections.Counter[str] = collections.Counter()
        self.log: list[dict[str, object]] = []
        # A prompt whose request was spent on another's burst has still to meet its own fault as often as it should.
        self._own: collections.Counter[str] = collections.Counter()  # attempts that no other prompt's fault took
        self._spread: list[Fault] = []

    def act(self, prompt: str, attempt: int) -> Act:
        """What a request meets; `prompt` begins with its name, and its text follows."""
        name, _, text = prompt.partition(" ")
        fault = self._fault(prompt)
        # The fault was drawn before: being refused for speed must not change which fault a prompt meets.
        if self.limiter and self.limiter.refuses():
            return self._noted(name, attempt, "limit", error(429, "slow down", "rate_limit_exceeded"))
        if fault is None:
            self.answers[name] += 1
            return self._noted(name, attempt, None, Act(body=counted(completion(f"echo: {text}"), text)))
        # Counted as answered: such a reply is to be paid for once, and `told` says where one was sent again.
        if fault.ends == "read":
            self.answers[name] += 1
        self.met[fault.name] += 1
        return self._noted(name, attempt, fault.name, fault.act(f"echo: {text}"))

    def _fault(self, prompt: str) -> Fault | None:
        if self._spread:
            return self._spread.pop()
        if prompt not in self.of:
            # By arithmetic, not by chance: every n-th prompt, and each fault as often as the next, in every run.
            number, chosen = len(self.of), int(len(self.of) * self.share)
            meets = int((number + 1) * self.share) > chosen
            self.of[prompt] = self.faults[chosen % len(self.faults)] if meets else None
        fault = self.of[prompt]
        self._own[prompt] += 1
        if fault is None or (fault.ends == "again" and self._own[prompt] > self.times):
            return None
        if self._own[prompt] == 1:
            # A burst hits whoever asks next, as a busy server does, not the prompt that met it first.
            self._spread += [fault] * (fault.requests - 1)
        return fault

    def _noted(self, prompt: str, attempt: int, fault: str | None, act: Act) -> Act:
        status = act.status if act.raw is None and act.end == "keep" else None
        # The record is the server's own: what a client believes it sent is held against it.
        self.log.append({"time": time.time(), "prompt": prompt, "attempt": attempt, "fault": fault, "status": status})
        return act


class Limiter:
    """So many requests a second; who goes over is banned, and asking while banned begins the ban anew."""

    def __init__(self, rate: float, ban: float) -> None:
        """`rate` in requests a second, `ban` in seconds."""
        self._rate = rate
        self._ban = ban
        self._until = 0.0
        self._recent: collections.deque[float] = collections.deque()

    def refuses(self) -> bool:
        """Count a request, and say whether it goes over."""
        now = time.monotonic()
        while self._recent and now - self._recent[0] >= 1:
            self._recent.popleft()
        # Counted though it is refused: a client that keeps asking stays over the limit.
        self._recent.append(now)
        if now < self._until or len(self._recent) > self._rate:
            self._until = now + self._ban
            return True
        return False


@settings
class Faults:
    """Settings of the server.

    Attributes:
        faults: names of faults or of their kinds; empty: all but those that stop a run.
        share: of the prompts, that meet one.
        times: how often a prompt meets it before it is answered.
        requests_per_second: more are refused with 429; None for no limit.
        ban_seconds: for which a client that went over is refused everything; asking meanwhile begins it anew.
        tls: serve https, with a certificate that nobody knows.
        port: on the loopback address; 0: any free one.
        record: a file for one line of JSON a request.
    """

    faults: tuple[str, ...] = ()
    share: Annotated[float, Field(gt=0, le=1)] = 0.3
    times: PositiveInt = 1
    requests_per_second: PositiveFloat | None = None
    ban_seconds: Annotated[float, Field(ge=0)] = 0.0
    tls: bool = False
    port: int = Field(default=8418, ge=0, le=65535)
    record: Path | None = None
    output_dir: Path = Path("outputs")
    trusted_packages: tuple[str, ...] = ()

    def serve(self) -> None:
        """Serve until Ctrl-C, then print and keep the record.

        Raises:
            ConfigError: an unknown fault, or the port is taken.
            StoreError: the record cannot be written.
        """
        plan = self.plan()
        with ExitStack() as stack:
            try:
                server = stack.enter_context(self.server(plan, self_signed(stack) if self.tls else None))
            except OSError as error:
                reason = error.strerror or str(error)
                raise ConfigError(f"port={self.port} cannot be used: {reason}", "port=0 takes any free one.") from error
            # After the server listens: whoever reads the line may ask at once.
            for line in self._greeting(plan, server.url):
                print(line, flush=True)
            with suppress(KeyboardInterrupt):
                threading.Event().wait()
        for line in told(plan):
            print(line, flush=True)
        if self.record:
            keep(plan, self.record)

    def plan(self) -> Plan:
        """Which prompts meet what.

        Raises:
            ConfigError: an unknown fault.
        """
        return Plan(chosen(self.faults), self.share, self.times, self.requests_per_second, self.ban_seconds)

    def server(self, plan: Plan, tls: ssl.SSLContext | None = None) -> ChatServer:
        """The server, not yet begun."""
        return ChatServer(act=plan.act, port=self.port, prompt=named, tls=tls)

    def _greeting(self, plan: Plan, url: str) -> list[str]:
        kinds = collections.Counter(fault.kind for fault in plan.faults)
        lines = [f"{url}: of a hundred prompts {100 * self.share:.0f} meet a fault, the others are answered"]
        lines += [f"  {count:3} {kind:13} {KINDS[kind]}" for kind, count in kinds.items()]
        ask = f"python -m mmsb model=openai model.name=x model.base_url={url} model.timeout=5"
        return [*lines, "try your setup on it, for example:", f"  {ask}", "Ctrl-C ends it and says what came."]


def counted(body: dict[str, Any], text: str) -> dict[str, Any]:
    """A reply that says how many tokens it took: by letters, so that long texts cost more, as at any provider."""
    given, came = A_TURN + len(text) // LETTERS, 1 + len(body["choices"][0]["message"]["content"]) // LETTERS
    return {**body, "usage": {"prompt_tokens": given, "completion_tokens": came, "total_tokens": given + came}}


def named(messages: Messages) -> str:
    """A prompt's name, the digest of all that is shown, and its text."""
    # By all that is shown: two pictures under one question are two prompts.
    return f"{digest(messages)} {text_of(messages)}"


def chosen(names: Sequence[str]) -> list[Fault]:
    """The faults that names or kinds stand for.

    Raises:
        ConfigError: there is none of that name.
    """
    known = catalogue()
    if not names:
        return [fault for fault in known.values() if fault.kind != NAMED_STOPS]
    for name in names:
        if name not in known and name not in KINDS:
            raise ConfigError(f"faults={name} is not a fault", suggestion(name, [*KINDS, *known]))
    return [fault for fault in known.values() if fault.name in names or fault.kind in names]


def told(plan: Plan) -> list[str]:
    """What came and what was sent, for people."""
    twice = sum(count - 1 for count in plan.answers.values())
    return [
        f"{len(plan.log)} requests for {len(plan.of)} prompts; {len(plan.met)} of {len(plan.faults)} faults were met",
        f"{len(plan.answers)} prompts were answered; {twice} whole answers were sent for one that had been sent before",
    ]


def keep(plan: Plan, path: Path) -> None:
    """Write the record.

    Raises:
        StoreError: it cannot be written.
    """
    try:
        path.write_bytes(b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in plan.log))
    except OSError as problem:
        raise StoreError.writing(path, problem) from problem
    print(f"record: {path}")
