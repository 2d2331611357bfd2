"""Prompts through a batch interface: a file is uploaded, submitted as a batch, and its answers fetched within a day.

    flows ask -> nobody asks any more -> file -> batch ............ answers -> store -> flows go on
                 (`QUIET` seconds)         every step is in the ledger before the next begins

Ctrl-C leaves batches at the server. The same command finds them in the ledger (`mmsb.model.ledger`) and collects them.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import openai

from mmsb.console import say
from mmsb.errors import ModelError
from mmsb.model.attempts import MALFORMED_TRIES
from mmsb.model.batch_calls import BatchCalls
from mmsb.model.batch_lines import LINES, ROOT, read_answers, write_requests
from mmsb.model.batch_room import Room
from mmsb.model.batch_state import State
from mmsb.model.endpoint import Endpoint
from mmsb.model.ledger import Ledger, Record
from mmsb.model.request_errors import READ, RequestError
from mmsb.model.requests import Requests
from mmsb.model.route import Servers
from mmsb.replies import Malformed
from mmsb.secret import blotted
from mmsb.types import Failure, How, Outcome, Prompt, Response

if TYPE_CHECKING:
    from mmsb.model.openai import OpenAI
    from mmsb.store import Shelf

QUIET = 1.0  # seconds without a new prompt, after which those that wait are submitted
SETTLED = 30.0  # seconds after which a server lists a batch that it accepted
NAMED = 60.0  # seconds after which a batch that has ended names the files with what came of it
LOOK = 2.0  # seconds between two looks for it, or for them
FIRST_POLL, LAST_POLL = 2.0, 60.0  # seconds between two looks at a batch: more and more
TOLD = 600.0  # seconds after which an unchanged batch is told of again
# Not 409 or 429, nor 5xx: after these a batch may exist, and is looked for before anything is submitted again.
REFUSED = (400, 404, 405, 413, 422, 501)  # no batch was made


class Batches:
    """What one engine has at its endpoint's batch interface."""

    def __init__(
        self, settings: OpenAI, endpoint: Endpoint, shelf: Shelf, coming: Callable[[], bool] = lambda: False
    ) -> None:
        """Nothing is sent yet. `coming`: whether something is being asked elsewhere that may lead to prompts."""
        self._settings = settings
        self._endpoint = endpoint
        self._shelf = shelf
        self._coming = coming
        self._ledger = Ledger(shelf.folder / "batches")
        self._calls = BatchCalls(settings, endpoint)
        self._servers = Servers([endpoint])
        self._new: list[Prompt] = []
        self._known: set[str] = set()  # keys that are in a batch
        self._prompts: dict[str, Prompt] = {}  # those that wait, by key
        self._room = Room()
        self._failed: dict[str, Failure] = {}
        self._waiting: dict[str, asyncio.Future[Outcome]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._asked = asyncio.Event()
        self._stopped: Exception | None = None

    async def __aenter__(self) -> Batches:
        """Take up what is under way.

        Raises:
            ModelError: another run does.
        """
        self._ledger.__enter__()
        # Who had the ledger until now may have stored answers since this run read the shelf.
        self._shelf.read_new()
        for record in self._ledger.records():
            # Before the first prompt comes: one that is in a batch of an earlier run must not be submitted once more.
            self._known.update(record.keys)
            self._begin(self._follow(record, again=True))
        self._begin(self._gather())
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._calls.close()
        self._ledger.__exit__()

    async def ask(self, prompt: Prompt) -> Outcome:
        """Answer a prompt out of a batch, or say why there is no answer.

        Raises:
            ModelError: the batch interface cannot be used.
        """
        if self._stopped:
            raise self._stopped
        if prompt.key in self._shelf:
            return self._shelf.get(prompt.key)
        # Once a run: a second flow with the same prompt would pay for the same failure.
        if failure := self._failed.get(prompt.key):
            return failure
        reply: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting[prompt.key], self._prompts[prompt.key] = reply, prompt
        if prompt.key not in self._known:
            self._add(prompt)
        return await reply

    def _add(self, prompt: Prompt) -> None:
        self._known.add(prompt.key)
        self._new.append(prompt)
        self._asked.set()

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        async def guarded() -> None:
            try:
                await work
            except Exception as error:  # whoever waits is told, else they would wait for ever
                self._stopped = self._stopped or error
                for reply in self._waiting.values():
                    if not reply.done():
                        reply.set_exception(error)

        task = asyncio.create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _gather(self) -> None:
        """Submit what has come whenever nothing more comes."""
        while await self._asked.wait():
            # As long as prompts keep coming, or may come: each batch takes up to a day, so few and full ones are worth
            # the wait. Behind a slow guard each prompt would else be a batch of its own.
            while (self._asked.is_set() or self._coming()) and len(self._new) < LINES:
                self._asked.clear()
                await asyncio.sleep(QUIET)
            prompts, self._new = self._new, []
            while prompts:
                prompts = await self._submit(prompts)

    async def _submit(self, prompts: list[Prompt]) -> list[Prompt]:
        """Upload one file of prompts that are asked alike and have it followed; give back the others."""
        # A batch is for one endpoint, and guards' formats go to another than a chat. Two ways of asking are read in
        # two ways, which whoever collects a batch must know.
        how = prompts[0].how
        alike = [prompt for prompt in prompts if prompt.how == how]
        alike, rest = alike[: self._room.most], alike[self._room.most :]
        others = [prompt for prompt in prompts if prompt.how != how]
        name = f"{int(time.time())}-{secrets.token_hex(4)}"  # so that records sort as they were submitted
        path = self._ledger.folder / f"{name}.jsonl"
        written = await asyncio.to_thread(write_requests, path, alike, self._settings.request, self._url(how))
        for key, failure in written.unsent.items():
            self._settle(key, failure)
        if written.keys:
            try:
                file = await self._calls.patiently(
                    lambda: self._calls.upload(path, f"mmsb-{name}.jsonl"),
                    f"{len(written.keys):,} prompts were not uploaded",
                )
            except ModelError as error:
                if not (isinstance(met := error.__cause__, RequestError) and met.status == 413 and written.keys[1:]):
                    raise
                path.unlink()
                self._room.most = len(written.keys) // 2  # a server that takes smaller files than OpenAI
                return [prompt for prompt in prompts if prompt.key not in written.unsent]
            # After the upload, before the batch: a file at the server costs nothing, a batch that nobody knows of does.
            record = self._ledger.write(Record(name, written.keys, file, how))
            self._begin(self._follow(record, again=False))
        path.unlink()
        return [*written.rest, *rest, *others]

    def _url(self, how: How | None) -> str:
        return ROOT + self._settings.path_of(Prompt("", how=how))

    async def _follow(self, record: Record, again: bool) -> None:
        """Bring one record to its end; `again`: another run may have submitted it."""
        self._room.under_way.add(record.name)
        if record.batch is None:
            batch = await self._submitted(record, again)
            record = self._ledger.write(msgspec.structs.replace(record, batch=batch))
        ended = await self._ended(record)
        self._room.under_way.discard(record.name)
        if ended.crowded:
            return await self._later(record, ended)
        self._room.ended()
        self._keep(record, ended.status, await self._answers(record, ended))

    async def _later(self, record: Record, batch: State) -> None:
        """Submit again what the account had no room for, once others have ended, or in parts."""
        self._ledger.drop(record)  # nothing of it was answered, and nothing is paid
        say(f"its {len(record.keys):,} prompts are submitted again, in parts or once another batch has ended")
        if not await self._room.wait(len(record.keys)):
            raise self._refused(batch)
        self._known.difference_update(record.keys)
        for prompt in filter(None, map(self._prompts.get, record.keys)):
            self._add(prompt)

    def _refused(self, batch: State) -> ModelError:
        told = blotted(batch.reason[:READ], self._endpoint.key) or "no reason given"
        return ModelError(
            f"{self._settings.shown_url} refused batch {batch.id}: {told}",
            "Nothing of it was answered. Change what it names; the same command submits these prompts again.",
        )

    async def _submitted(self, record: Record, again: bool) -> str:
        """The batch of a record. After any doubt it is looked for before it is submitted once more."""
        # Doubt only then: a record just written by this run has not been submitted by anybody.
        since = record.at if again else None

        async def once() -> str:
            nonlocal since
            if since is not None and (found := await self._found(record, since)):
                return found
            # From now on there is doubt: the reply may be lost and the batch made.
            since = time.time()
            try:
                return (await self._calls.submit(record.file, self._url(record.how))).id
            except openai.APIStatusError as error:
                if error.status_code in REFUSED:  # else the next run would meet the same, even with another setting
                    self._ledger.drop(record)
                raise

        return await self._calls.patiently(once, f"{self._ledger.place(record)} may or may not have been submitted")

    async def _found(self, record: Record, since: float) -> str | None:
        """A batch with this file; a server may list it some time after it accepted it."""
        began = time.monotonic()
        while True:
            # Taken before the list is read: a batch that shows up while pages come must not be missed. By our own
            # waiting as well: a clock that was set back would have us wait for hours.
            settled = time.time() - since >= SETTLED or time.monotonic() - began >= SETTLED
            if found := await self._calls.of_file(record.file):
                return found.id
            if settled:
                return None
            await asyncio.sleep(LOOK)

    async def _ended(self, record: Record) -> State:
        """Wait for the end of a batch and for the names of its files, and tell of it."""
        seconds, last, told, ended = FIRST_POLL, "", 0.0, None
        while True:
            batch = await self._calls.patiently(
                lambda: self._calls.look(record.batch or ""),
                f"batch {record.batch} was there",
                self._ledger.place(record),
            )
            line = batch.told(len(record.keys), self._settings.shown_url)
            if line != last or time.monotonic() - told > TOLD:
                say(line)
                last, told = line, time.monotonic()
            if batch.ended:
                ended = ended or time.monotonic()
                if not batch.incomplete or time.monotonic() - ended > NAMED:
                    return batch
            await asyncio.sleep(LOOK if ended else seconds)
            seconds = min(1.5 * seconds, LAST_POLL)

    async def _answers(self, record: Record, batch: State) -> dict[str, Outcome]:
        """What the batch brought, by key.

        Raises:
            ModelError: it was refused as a whole, or its files cannot be had.
        """
        if batch.status == "failed" and not batch.answers and not batch.answered:
            self._ledger.drop(record)
            raise self._refused(batch)
        if batch.unnamed:  # as failures these prompts would be paid again
            raise ModelError(
                f"batch {batch.id} at {self._settings.shown_url} has ended with answers and names no file with them",
                f"Run the same command later. If it never does, delete {self._ledger.place(record)}: its prompts are "
                "then submitted, and paid, again.",
            )
        outcomes: dict[str, Outcome] = {}
        # Errors first: a prompt that is in both files has an answer, and that one counts.
        came = await self._fetched(record, batch, batch.errors, batch.failed or 0, outcomes)
        await self._fetched(record, batch, batch.answers, batch.answers_of(len(record.keys), came), outcomes)
        return outcomes

    async def _fetched(
        self, record: Record, batch: State, file: str | None, atleast: int, outcomes: dict[str, Outcome]
    ) -> int:
        """Take in a whole file of what came, by the server's own count of its lines; gives how many it has."""
        if file is None:
            return 0
        path, tries = self._ledger.folder / f"{record.name}.answers", 0

        async def fetch() -> int:
            nonlocal tries
            await self._calls.save(file, path)
            tries += 1
            came = read_answers(path, partial(self._read, record.how), self._endpoint.key, Requests.longest)
            few = f"{came.lines:,} of {atleast:,} lines" if came.lines < atleast else None
            if odd := came.odd or few:
                # What a server gives whole and odd each time is all that there will ever be.
                if tries < MALFORMED_TRIES:
                    raise Malformed(odd)
                say(f"batch {batch.id}: {odd}. What is missing is listed as failed; the next run asks it again")
            outcomes.update(came.outcomes)
            return came.lines

        told = f"the answers of batch {batch.id} were there"
        lines = await self._calls.patiently(fetch, told, self._ledger.place(record))
        path.unlink(missing_ok=True)
        return lines

    def _read(self, how: How | None, body: bytes) -> Response:
        self._servers.check_model(self._endpoint, body, self._settings.name)
        return self._settings.read(body, Prompt("", how=how))

    def _keep(self, record: Record, status: str, outcomes: dict[str, Outcome]) -> None:
        """Store the answers, forget the batch, and let the flows go on: in this order, and nothing in between."""
        lost = Failure(f"batch_{status}", f"batch {record.batch} ended as {status} without this prompt")
        settled: dict[str, Outcome] = {}
        for key in record.keys:
            outcome = outcomes.get(key, lost)
            settled[key] = self._shelf.add(key, outcome) if isinstance(outcome, Response) else outcome
        # On the disk before the ledger forgets the batch: a power cut between the two would lose what was paid for.
        self._shelf.sync()
        self._ledger.drop(record)
        for key, outcome in settled.items():
            self._settle(key, outcome)

    def _settle(self, key: str, outcome: Outcome) -> None:
        if isinstance(outcome, Failure):
            self._failed[key] = outcome
        self._prompts.pop(key, None)
        reply = self._waiting.pop(key, None)
        if reply and not reply.done():
            reply.set_result(outcome)
