"""A dry run: what each step would do and take, without doing it."""

from __future__ import annotations

from collections.abc import Callable

from rich.markup import escape
from rich.table import Table

from mmsb.create.job import Create
from mmsb.create.phrases import pending
from mmsb.create.pictures import plan
from mmsb.create.propose import AT_A_TIME
from mmsb.create.questions import find, read_lines, tidy
from mmsb.create.records import ENDINGS, read_rows
from mmsb.dataset.mm_safetybench import read_json
from mmsb.errors import MmsbError
from mmsb.prices import duration, money
from mmsb.terminal import console, print_table

LETTERS_PER_TOKEN = 4.0  # of English text, roughly
REPLY_TOKENS = 70  # of a key phrase's reply, as the benchmark's own records have it
PICTURE_BYTES, TYPED_BYTES, STACKED_BYTES = 130_000, 25_000, 150_000


def show_price(job: Create) -> None:
    """Print a line for each step."""
    table = Table(title=f"dry run: {escape(str(job.root))}", title_justify="left", title_style="bold")
    for column in ("step", "to do", "takes"):
        table.add_column(column)
    for step in job.steps:
        # fetch, review, card and validate ask nobody and cost nothing but reading.
        todo, takes = PRICES[step](job) if step in PRICES else ("everything in the folder", "")
        table.add_row(step, todo, takes)
    print_table(table)
    if job.prices:
        console().print(f"prices of {job.prices.read}, {job.prices.source}", markup=False, soft_wrap=True)


def price_propose(job: Create) -> tuple[str, str]:
    """Calls of the language model."""
    calls = len(job.scenarios) * -(-job.propose // AT_A_TIME)
    return f"{job.propose} questions for {len(job.scenarios)} scenarios", f"{calls:,} calls at least"


def price_twins(job: Create) -> tuple[str, str]:
    """A short call for each question."""
    count = count_questions(job)
    # 150 tokens in: the instruction and a question; 25 out: a sentence.
    told = _cost(*model_price(job, count, count * 150, count * 25))
    return f"{count:,} harmless twins", f"{count:,} calls at least{told}"


def price_questions(job: Create) -> tuple[str, str]:
    """Nothing but reading."""
    return f"{count_questions(job):,} questions in {len(job.scenarios)} scenarios", ""


def price_phrases(job: Create) -> tuple[str, str]:
    """Calls and tokens of the language model, were every first reply usable."""
    told = job.instructions
    items = pending(job.folder, job.scenarios, told, coming_lines(job))
    letters = sum(len(told.instruction(item.family)) + len(told.ask(item.question)) for item in items)
    tokens = round(letters / LETTERS_PER_TOKEN)
    return (
        f"{len(items):,} key phrases",
        f"{len(items):,} calls (up to {len(items) * job.attempts:,}), about {tokens:,} tokens in, "
        f"{len(items) * REPLY_TOKENS:,} out; nothing for what the store has"
        + _cost(*model_price(job, len(items), tokens, len(items) * REPLY_TOKENS)),
    )


def price_pictures(job: Create) -> tuple[str, str]:
    """Pictures to draw."""
    there = 0
    count = count_questions(job)
    try:
        planned = plan(job.folder, job.scenarios, job.generator)
        there, count = planned.there + planned.given, len(planned.missing) + planned.there + planned.given
    # The plan needs key phrases; before there are any, each question counts as one picture.
    except MmsbError:  # no records yet
        pass
    steps = getattr(job.generator, "steps", None)
    work = f"{count - there:,} pictures" + (f" of {steps} denoising steps" if steps else " from the endpoint")
    return (
        f"{count - there:,} to draw, {there:,} are there",
        f"{work}, about {(count - there) * PICTURE_BYTES / 1e6:,.0f} MB" + _cost(*picture_price(job, count - there)),
    )


def model_price(job: Create, calls: int, tokens_in: int, tokens_out: int) -> tuple[float | None, float | None]:
    """Dollars and seconds of calls to the language model, as far as the table knows it."""
    name = getattr(job.model, "name", "")
    price = job.prices.price(name) if job.prices else None
    if price is None:
        return None, None
    dollars = (tokens_in * price.input + tokens_out * price.output) / 1e6
    at_a_time = getattr(job.model, "concurrency", 1)
    # None stays None: a table without seconds says nothing about time, and 0 would.
    return dollars, price.seconds and calls * price.seconds / at_a_time


def picture_price(job: Create, count: int) -> tuple[float | None, float | None]:
    """Dollars and seconds of pictures, as far as the table knows the generator."""
    drawer = job.generator
    name = str(getattr(drawer, "name_or_path", None) or getattr(drawer, "name", ""))
    price = job.prices.pictures.get(name) if job.prices else None
    if price is None:
        return None, None
    at_a_time = float(getattr(drawer, "concurrency", getattr(drawer, "workers", 1)))
    dollars = None if price.each is None else count * price.each
    return dollars, price.seconds and count * price.seconds / at_a_time


def pictures_bill(job: Create, drawn: int, failed: int) -> str | None:
    """What an endpoint's pictures cost, in one line; None where nothing was drawn by one."""
    if not drawn + failed or not hasattr(job.generator, "urls"):
        return None
    dollars, _ = picture_price(job, drawn)
    lost = f", {failed:,} failed, which may have cost something" if failed else ""
    return f"bill: {drawn:,} pictures, {'money unknown' if dollars is None else money(dollars)}{lost}"


def _cost(dollars: float | None, seconds: float | None) -> str:
    told = [money(dollars)] if dollars is not None else []
    told += [f"about {duration(seconds)}"] if seconds is not None else []
    return f"; {', '.join(told)}" if told else "; price and time are not in the table (prices)"


def price_typed(job: Create) -> tuple[str, str]:
    """Files to write."""
    count = count_questions(job)
    size = count * (TYPED_BYTES + STACKED_BYTES) / 1e6
    return f"up to {2 * count:,} files", f"about {size:,.0f} MB; 1,680 questions take seconds"


def coming_lines(job: Create) -> dict[str, list[str]]:
    """The questions that the step questions would bring, by scenario."""
    if "questions" not in job.steps:
        # Ready-made records have their key phrases: none of them is asked about.
        return {}
    if job.own_scenario:
        return {job.own_scenario.scenario.id: tidy(job.own_scenario.questions)}
    if job.questions and job.questions.suffix in ENDINGS:
        return {}
    paths = {s.id: find(job.questions, s) for s in job.scenarios} if job.questions else {}
    return {key: read_lines(path) for key, path in paths.items() if path.suffix == ".txt"}


def count_questions(job: Create) -> int:
    """How many questions there would be."""
    coming, count = coming_lines(job), 0
    for scenario in job.scenarios:
        if scenario.id in coming:
            count += len(coming[scenario.id])
        elif job.questions and job.questions.suffix in ENDINGS:
            # One file for all scenarios: its rows are counted once, whatever scenario they name.
            return sum(1 for _ in read_rows(job.questions))
        elif job.questions and "questions" in job.steps:
            count += len(read_json(find(job.questions, scenario)))
        else:
            count += len(job.folder.records(scenario.id)) or len(job.folder.lines(scenario.id))
    return count


PRICES: dict[str, Callable[[Create], tuple[str, str]]] = {
    "propose": price_propose,
    "questions": price_questions,
    "twins": price_twins,
    "phrases": price_phrases,
    "pictures": price_pictures,
    "typed": price_typed,
}
