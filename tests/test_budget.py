"""A budget: reached, the command stops cleanly; the same command with a higher one goes on to the same bytes."""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path

import pytest

from mmsb import cli
from mmsb.budget import Budget, BudgetReached, Purse
from mmsb.model.openai import OpenAI
from mmsb.prices import Prices, TokenPrice
from mmsb.serve.settings import Server
from mmsb.spending import check_budget, unpaid
from mmsb.types import Response
from tests.conftest import Run
from tests.endpoint import ChatServer

RUN = ("model=openai", "model.name=x", "model.concurrency=4", "judge=refusal", "tracker=none", "image_mode=text_only")
SMALL = ("scenario=[fraud,sex,malware_generation]",)  # 8 questions each
PRICE = "+prices.llm.x={input: 1000000, output: 0}"  # a dollar a token; the server counts 7 a call


def command(server: ChatServer, *more: str) -> tuple[str, ...]:
    return (*RUN, *SMALL, f"model.base_url={server.url}", *more)


def test_a_budget_of_calls_is_kept_exactly_and_a_higher_one_goes_on(mmsb: Run, tmp_path: Path) -> None:
    with ChatServer(delay=0.01) as server:
        assert mmsb(*command(server, "output_dir=whole")).returncode == 0
        total = len(server.requests)
        stopped = mmsb(*command(server, "budget.calls=10"))
        assert len(server.requests) == total + 10
        again = mmsb(*command(server, "budget.calls=10"))  # over all tries
        assert len(server.requests) == total + 10
        before = mmsb(module="mmsb.status").stdout
        done = mmsb(*command(server, f"budget.calls={total}"))
        assert len(server.requests) == 2 * total
    assert (stopped.returncode, again.returncode, done.returncode) == (3, 3, 0)
    assert "error: budget.calls=10 is reached (10 calls so far): stopped, not finished" in stopped.stderr
    assert "Go on: python -m mmsb model=openai" in stopped.stderr
    assert "budget.calls=20" in stopped.stderr
    assert "stops on its way, and can go on later: budget.calls=10, and 24 are expected" in stopped.stderr
    assert "budget.calls=10, of which 10 are made, and 14 are expected" in again.stderr
    assert "stops on its way" not in done.stderr
    (expected,) = tmp_path.glob("whole/runs/*/results.jsonl")
    (found,) = tmp_path.glob("outputs/runs/*/results.jsonl")  # a stopped run has none
    assert found.read_bytes() == expected.read_bytes()
    assert len(list(tmp_path.glob("outputs/runs/*/stopped.txt"))) == 2
    after = mmsb(module="mmsb.status").stdout
    assert (before.count("same command with more goes on"), after.count("same command with more goes on")) == (2, 0)
    assert after.count(f"the same command did since, in outputs/runs/{found.parent.name}") == 2


def test_money_is_not_overshot_by_more_than_what_is_under_way(mmsb: Run, tmp_path: Path) -> None:
    with ChatServer(delay=0.05) as server:
        done = mmsb(*command(server, PRICE, "budget.money=35"))
        asked = len(server.requests)
    assert done.returncode == 3, done.stderr
    assert 5 <= asked <= 5 + 4
    (spent,) = tmp_path.glob("outputs/budget/*.json")
    assert json.loads(spent.read_text()) == {"calls": asked, "dollars": 7.0 * asked}  # all that left came back
    (shelf,) = tmp_path.glob("outputs/store/x-*/*.jsonl")
    assert len(shelf.read_text().splitlines()) == asked  # and was kept


@pytest.mark.parametrize("sweep", [(), ("-m", "image_mode=text_only,typo")])
def test_who_goes_on_more_slowly_goes_on_with_the_same_budget(sweep: tuple[str, ...], mmsb: Run) -> None:
    judge = ("judge=rubric", "judge.model.name=judge")
    slower = (
        "judge.model.concurrency=2",
        "model.patience=99",
        "judge.model.timeout=9",
        "model.requests_per_second=500",
    )
    with ChatServer(delay=0.01) as server:
        run = command(server, "budget.calls=10", *judge, f"judge.model.base_url={server.url}", *sweep)
        codes = [mmsb(*run).returncode, mmsb(*run, *slower).returncode]
        # A sweep first asks each model for a word; the judge may still be one that was never heard.
        asked = sum("word OK" not in str(body) for body in server.requests)
        other = mmsb(*run, "model.max_tokens=7").returncode  # other answers: another command
        more = sum("word OK" not in str(body) for body in server.requests)
    assert (codes, asked) == ([3, 3], 10)
    assert (other, more) == (3, 20)


def test_a_record_of_what_was_spent_that_is_none_is_named_and_nothing_is_asked(mmsb: Run, tmp_path: Path) -> None:
    with ChatServer() as server:
        stopped = mmsb(*command(server, "budget.calls=3"))
        (spent,) = tmp_path.glob("outputs/budget/*.json")
        for content in ('{"calls": "3"}', '{"calls": 3, "dollars": -1.0}', "[]", '{"calls": 3'):
            spent.write_text(content)
            broken = mmsb(*command(server, "budget.calls=30"))
            assert (broken.returncode, len(server.requests)) == (1, 3)
            assert f"{spent.name} does not say what was spent" in broken.stderr
    assert stopped.returncode == 3


def test_money_counts_what_tries_without_a_limit_of_it_have_spent(mmsb: Run) -> None:
    with ChatServer() as server:
        first = mmsb(*command(server, PRICE, "budget.calls=3", "budget.confirm=null"))  # 21 dollars
        second = mmsb(*command(server, PRICE, "budget.money=20"))
        asked = len(server.requests)
    assert (first.returncode, second.returncode, asked) == (3, 3, 3)
    assert "budget.money=20 is reached (3 calls, $21.00 so far)" in second.stderr
    assert "stops on its way, and can go on later: budget.money=20, of which $21.00 is spent, and $" in second.stderr


def test_the_runs_of_a_sweep_share_a_budget_and_tell_it_once(mmsb: Run, tmp_path: Path) -> None:
    with ChatServer() as server:
        sweep = command(server, "-m", "image_mode=text_only,typo,sd")
        stopped = mmsb(*sweep, "budget.calls=30")
        asked = len(server.requests)
        short = mmsb(*sweep, "budget.calls=71", "dry_run=true")
        done = mmsb(*sweep, "budget.calls=72")
    assert stopped.returncode == 3, stopped.stderr
    assert asked == 1 + 30  # and the word that a sweep begins with
    assert stopped.stderr.count("is reached") == 1
    assert "stopped by the budget, and not in the table: 1, 2" in stopped.stderr
    assert "stops on its way, and can go on later: budget.calls=71, of which 30 are made, and 42 are" in short.stdout
    assert "stops on its way" not in done.stderr
    assert done.returncode == 0, done.stderr
    assert len(server.requests) == 1 + 72


def test_a_budget_of_calls_is_kept_by_a_local_model_batch_by_batch(
    mmsb: Run, tmp_path: Path, small_llava: Path
) -> None:
    local = (f"model.name_or_path={small_llava}", "model.max_new_tokens=2", "model.batch_size=8", *RUN[3:], *SMALL)
    stopped = mmsb(*local, "budget.calls=17")
    assert stopped.returncode == 3, stopped.stderr
    (shelf,) = tmp_path.glob("outputs/store/tiny-*/*.jsonl")
    assert len(shelf.read_text().splitlines()) == 16
    assert mmsb(*local, "budget.calls=24").returncode == 0


def test_time_that_is_over_stops_before_anything_is_asked(mmsb: Run) -> None:
    with ChatServer() as server:
        done = mmsb(*command(server, "budget.time=1"), MMSB_BEGAN="1")
    assert (done.returncode, len(server.requests)) == (3, 0)
    assert "budget.time=1 is reached" in done.stderr


def test_money_without_a_price_is_refused_before_anything_is_asked(mmsb: Run, tmp_path: Path) -> None:
    with ChatServer() as server:
        done = mmsb(*command(server, "budget.money=5"))
    assert (done.returncode, len(server.requests)) == (1, 0)
    assert "budget.money=5: no price is known for x" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_server_of_ones_own_needs_no_price_and_is_paid_nothing(tmp_path: Path) -> None:
    own, paid = OpenAI(name="own", serve=True, server=Server(command=("own",))), OpenAI(name="paid")
    prices = Prices(
        source="here", date=datetime.date(2026, 1, 1), pictures={}, llm={"paid": TokenPrice(input=1e6, output=0)}
    )
    check_budget(Budget(money=1), prices, [own, paid])
    purse = Purse(Budget(money=1), tmp_path / "spent.json", prices, unpaid([own, paid]))
    purse.pay("own", Response("", input_tokens=3, output_tokens=1))
    purse.begin()
    purse.pay("paid", Response("", input_tokens=3, output_tokens=1))
    with pytest.raises(BudgetReached, match=r"3\.00"):
        purse.begin()
    purse.close()


def test_the_price_that_the_error_asks_for_is_understood_as_it_stands(mmsb: Run) -> None:
    """Names of models have dots and strokes, which a setting's own name cannot."""
    with ChatServer() as server:
        named = command(server, "budget.money=5", "model.name=qwen/qwen2.5-vl", "dry_run=true")
        said = mmsb(*named).stderr
        asked = re.search(r"'(\+prices[^']+)'", " ".join(said.split()))
        assert asked, said
        done = mmsb(*named, asked[1])
    assert done.returncode == 0, done.stderr
    assert re.search(r"money: .*\$", done.stdout)


@pytest.mark.parametrize("wrong", ["budget.money=-1", "budget.calls=0", "budget.calls=1.5", "budget.tokens=3"])
def test_a_wrong_budget_is_refused(wrong: str, mmsb: Run) -> None:
    assert mmsb(wrong, "tracker=none").returncode == 1


def test_runs_of_a_sweep_in_several_processes_tell_a_spent_budget_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMSB_SWEEP_DIR", str(tmp_path))
    monkeypatch.setenv("MMSB_BEGAN", "1.5")
    assert [cli._first([]), cli._first([])] == [True, False]  # each process has met no error before
    monkeypatch.setenv("MMSB_BEGAN", "2.5")  # the same folder again, with more
    assert cli._first([])
    monkeypatch.setenv("MMSB_SWEEP_DIR", str(tmp_path / "gone"))
    assert cli._first([])
