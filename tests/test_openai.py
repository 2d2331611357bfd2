"""Endpoint models, against a real server on loopback that misbehaves on a schedule."""

from __future__ import annotations

import base64
import io
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import orjson
import pytest
from PIL import Image

from mmsb.driver import Driver
from mmsb.errors import ConfigError, DataError, ModelError
from mmsb.flow import gather
from mmsb.model.attempts import REFUSED
from mmsb.model.governor import Breaker
from mmsb.model.openai import OpenAI
from mmsb.model.request_errors import refused, retry_after
from mmsb.picture import BytesPicture
from mmsb.replies import Refused
from mmsb.serve.settings import Server
from mmsb.store import Store
from mmsb.types import Failure, Outcome, Prompt, Response
from tests.asking import Named, answered, named
from tests.endpoint import CUT, GARBAGE, HANG, Act, ChatServer, completion, error, impatient
from tests.test_chat import noise

CANARY = "sk-canary-0123456789abcdefghij"
DEAD = "http://127.0.0.1:9/v1"


def asked(place: ChatServer | str, texts: list[str], **settings: Any) -> dict[str, Outcome]:
    """Ask each text once; outcomes by text, none twice."""
    url = place if isinstance(place, str) else place.url
    chosen: dict[str, Any] = {"name": "x", "timeout": 20, "patience": 20, "concurrency": 8} | settings
    model = OpenAI(base_url=url, **chosen)
    outcomes = through(model, (named(text, text) for text in texts))
    assert len(outcomes) == len(texts)
    return outcomes


def through(model: OpenAI, prompts: Iterable[Named]) -> dict[str, Outcome]:
    with tempfile.TemporaryDirectory() as folder:
        return answered(model, prompts, Path(folder))


def test_every_prompt_is_answered_or_failed_whatever_the_server_does() -> None:
    acts = {
        "busy": error(429, "slow down", retry_after="0"),
        "broken": error(500, "oops"),
        "cut": CUT,
        "garbage": GARBAGE,
        "empty": Act(body={**completion("x"), "choices": []}),
        "aborted": Act(body=completion("half", "abort")),
        "told": Act(body={"error": {"message": "busy", "code": 429}}),
        "gone": Act(body={**completion("half", "error"), "error": {"message": "worker died", "code": 502}}),
    }

    def act(text: str, attempt: int) -> Act | None:
        kind, _, when = text.partition(" ")
        return acts[kind] if kind in acts and (when == "always" or attempt == 1) else None

    once, always = [f"{kind} once" for kind in acts], [f"{kind} always" for kind in acts]
    with ChatServer(act=act) as server:
        outcomes = asked(server, once + always + [f"fine {i}" for i in range(100)], patience=2.5)
    assert all(outcomes[text] == answer(f"echo: {text}", outcomes[text]) for text in outcomes if text not in always)
    causes = {text.split()[0]: outcomes[text].cause for text in always}  # type: ignore[union-attr]
    assert causes == {
        "busy": "rate_limit",
        "broken": "http_500",
        "cut": "connection",
        "garbage": "malformed",
        "empty": "malformed",
        "aborted": "malformed",
        "told": "rate_limit",
        "gone": "http_502",
    }
    assert server.attempts["fine 7"] == 1
    assert server.most <= 8


@pytest.mark.usefixtures(impatient.__name__)
def test_a_malformed_reply_after_busy_ones_is_no_reason_to_give_up() -> None:
    acts = [error(503, "starting", retry_after="0")] * 3 + [GARBAGE] * 2
    with ChatServer(act=lambda _, attempt: acts[attempt - 1] if attempt <= len(acts) else None) as server:
        outcomes = asked(server, ["a"])
    assert isinstance(outcomes["a"], Response)
    assert server.attempts["a"] == 6


def answer(text: str, like: Outcome) -> Response:
    seconds = like.seconds if isinstance(like, Response) else -1
    return Response(text, input_tokens=7, output_tokens=3, seconds=seconds)


@pytest.mark.parametrize("header", ["2", "a date"])
def test_retry_after_is_honoured(header: str) -> None:
    after = header if header == "2" else formatdate(time.time() + 3, usegmt=True)
    busy = error(429, "later", retry_after=after)
    with ChatServer(act=lambda text, attempt: busy if attempt == 1 else None) as server:
        outcomes = asked(server, ["a"])
    assert isinstance(outcomes["a"], Response)
    assert server.times[1] - server.times[0] > 1.9


@pytest.mark.parametrize(("limit", "tries"), [("30,000", 1), ("40000", 2)])
def test_a_prompt_that_no_minute_will_hold_is_asked_once(limit: str, tries: int) -> None:
    told = f"Request too large for x on tokens per min (TPM): Limit {limit}, Requested 31538. Reduce it."
    busy = error(429, told, "rate_limit_exceeded", retry_after="0")
    with ChatServer(act=lambda text, attempt: busy if text == "a" and attempt < 2 else None) as server:
        outcomes = asked(server, ["a", "b"])
    assert (outcomes["a"] == Failure("too_large", told)) == (tries == 1)
    assert server.attempts["a"] == tries


@pytest.mark.usefixtures(impatient.__name__)
def test_a_reply_around_which_is_no_http_is_paid_for_three_times_at_most() -> None:
    unknown = Act(body=completion("x"), headers={"Content-Encoding": "br"})
    with ChatServer(act=lambda text, _: unknown if text == "a" else None) as server:
        outcomes = asked(server, ["a", "b"])
    met = outcomes["a"]
    assert isinstance(met, Failure)
    assert (met.cause, server.attempts["a"]) == ("malformed", 3)
    assert "brotli" in met.message.lower()


def test_a_wait_longer_than_the_patience_is_a_failure_at_once() -> None:
    with ChatServer(act=lambda *_: error(429, "tomorrow", retry_after="86400")) as server:
        outcomes = asked(server, ["a"])
    assert outcomes["a"] == Failure("rate_limit", "tomorrow; it asks to wait 86,400 s, patience=20")
    assert server.attempts["a"] == 1


def test_a_request_that_hangs_times_out_and_is_asked_again() -> None:
    hangs = {"once": 1, "always": 99}
    with ChatServer(act=lambda text, attempt: HANG if attempt <= hangs.get(text, 0) else None) as server:
        outcomes = asked(server, ["once", "always", "never"], timeout=0.5, patience=2.5)
    assert isinstance(outcomes["once"], Response)
    assert isinstance(outcomes["never"], Response)
    assert isinstance(outcomes["always"], Failure)
    assert outcomes["always"].cause == "timeout"


def test_a_server_that_drips_is_cut_off_at_the_timeout() -> None:
    drip = Act(body=completion("a" * 200), drip=0.1)  # takes 30 s, and is never silent for long
    with ChatServer(act=lambda text, attempt: drip if text == "drip" or attempt == 1 else None) as server:
        outcomes = asked(server, ["drip", "once"], timeout=0.5, patience=2.5)
        assert server.pieces < len(drip.content)  # all attempts together did not wait for one whole reply
    assert outcomes["drip"] == Failure("timeout", "no whole reply within 0.5 s")
    assert isinstance(outcomes["once"], Response)


def test_an_error_whose_body_does_not_come_is_the_error_that_its_status_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmsb.model.http.ERROR_SECONDS", 0.1)
    with (
        ChatServer(act=lambda *_: Act(401, "x" * 200, drip=0.1)) as server,
        pytest.raises(ModelError, match="HTTP 401"),
    ):
        asked(server, ["a"])
    assert server.attempts["a"] == 1


def test_a_reply_longer_than_any_answer_is_not_read_to_its_end() -> None:
    endless = Act(body=b" " * 1_000_000, times=200)
    with ChatServer(act=lambda text, _: endless if text == "huge" else None) as server:
        outcomes = asked(server, ["good", "huge"])
    assert outcomes["huge"] == Failure("malformed", "a reply of more than 4 MB")
    assert server.attempts["huge"] == 3
    assert server.pieces < 3 * 40  # what lies in buffers of the connection was sent, too
    assert isinstance(outcomes["good"], Response)


def test_a_body_in_latin_1_is_read_as_what_its_header_says() -> None:
    said = "D\u00e9sol\u00e9, je ne peux pas."
    plain = orjson.dumps(completion(said)).decode()

    def sent(charset: str, encoding: str) -> Act:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset={charset}\r\nConnection: close\r\n\r\n"
        return Act(raw=head.encode() + plain.encode(encoding), end="close")

    acts = {"latin": sent("ISO-8859-1", "latin-1"), "lies": sent("iso-8859-1", "utf-8"), "none": sent("x", "latin-1")}
    with ChatServer(act=lambda text, _: acts[text]) as server:
        outcomes = asked(server, list(acts))
    texts = {name: outcome.text for name, outcome in outcomes.items() if isinstance(outcome, Response)}
    assert texts == {"latin": said, "lies": said, "none": said.replace("\u00e9", "\ufffd")}


def test_a_server_that_answers_as_another_model_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    def act(text: str, _: int) -> Act:
        return Act(body=completion(text) | {"model": "x-2" if text in ("b", "d") else "x-1"})

    with ChatServer(act=act) as server:
        asked(server, ["a", "b", "c", "d"], concurrency=1)
        told = capsys.readouterr().err
        assert told.count(f"{server.url} answers as x-2 now, and did as x-1") == told.count("answers as") == 1
        asked(server, ["a", "c"], concurrency=1)  # one name, be it not the one that was asked for
    assert "answers as" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "said", "told"),
    [
        ("gpt-4o", "gpt-4o-2024-08-06", False),
        ("Qwen/Qwen3-VL-8B-Instruct", "/models/qwen3-vl-8b-instruct.gguf", False),
        ("mistral-large-latest", "mistral-large-2411", False),
        ("openai/gpt-4o", "gpt-4o-mini-2024-07-18", True),
        ("Qwen/Qwen3-VL-8B-Instruct", "llava-1.5-7b", True),
    ],
)
def test_a_server_that_has_another_model_than_it_is_asked_for_is_told(
    capsys: pytest.CaptureFixture[str], name: str, said: str, told: bool
) -> None:
    with ChatServer(act=lambda text, _: Act(body=completion(text) | {"model": said})) as server:
        asked(server, ["a", "b"], name=name)
        asked(server, ["c"], name=name)  # as the next run of a sweep does
    assert capsys.readouterr().err.count(f"was asked for {name} and answers as {said}") == told


DATE = {"date": "Fri, 27 Nov 2026 12:00:00 GMT"}
ANTHROPIC = [
    ("requests", "remaining", "49"),
    ("requests", "reset", "2026-11-27T12:05:00Z"),
    ("input-tokens", "remaining", "0"),
    ("input-tokens", "reset", "2026-11-27T12:00:40Z"),
]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "20ms"}, 0.02),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1h6m0.5s"}, 3960.5),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "7"}, 7.0),
        ({"x-ratelimit-remaining-tokens": "900", "x-ratelimit-reset-tokens": "6m0s"}, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "soon"}, None),
        ({"x-ratelimit-reset-requests": "3s"}, 3.0),
        ({"x-ratelimit-reset-requests": "0s"}, 0.0),
        ({f"anthropic-ratelimit-{name}-{what}": value for name, what, value in ANTHROPIC} | DATE, 40.0),
        # By the server's own clock; dates without a zone are GMT, wherever we are.
        ({"retry-after": "Fri, 27 Nov 2026 12:00:30 GMT"} | DATE, 30.0),
        ({"retry-after": "Fri Nov 27 12:00:30 2026"} | DATE, 30.0),
        ({"retry-after": "Friday, 27-Nov-26 12:00:30 GMT"} | DATE, 30.0),
        ({"retry-after": "Fri, 27 Nov 2026 11:00:00 GMT"} | DATE, 0.0),
        ({}, None),
    ],
)
def test_a_servers_wish_to_wait_is_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == (seconds if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        ({"message": "Rate limit reached. Please try again in 1.2s. Visit ..."}, 1.2),
        ({"message": "Please try again in 6m0s."}, 360.0),
        ({"message": "try again in 20ms"}, 0.02),
        ({"message": "Requests exceeded. Please retry after 17 seconds."}, 17.0),
        ({"message": "busy", "details": [{"@type": "QuotaFailure"}, {"retryDelay": "32s"}]}, 32.0),
        ({"message": "try again in a minute", "details": "none"}, None),
        ({"message": "retry after 5 apples"}, None),
        ({"message": None}, None),
        ("try again in 3s", None),
    ],
)
def test_a_wish_to_wait_that_stands_in_the_body_is_read(error: object, seconds: float | None) -> None:
    body = orjson.dumps({"error": error})
    assert refused(Refused(429, {}, body), None).after == seconds
    assert refused(Refused(429, {"retry-after": "9"}, body), None).after == 9
    assert refused(Refused(500, {}, body), None).after is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": "model busy"}, "model busy"),
        ({"detail": "no such field"}, "no such field"),
        ({"code": 50001, "msg": "busy"}, "busy"),
        ("<html>Bad Gateway</html>", "Error code: 502"),
        ({"error": 7}, "Error code: 502"),
    ],
)
def test_an_error_is_told_in_the_servers_words_wherever_they_stand(body: object, message: str) -> None:
    content = body.encode() if isinstance(body, str) else orjson.dumps(body)
    assert refused(Refused(502, {}, content), None).message == message


@pytest.mark.parametrize(
    ("act", "failure"),
    [
        (error(400, "bad image"), Failure("http_400", "bad image")),
        (
            Act(413, b"<html>413</html>"),  # nginx
            Failure(
                "http_413",
                "the request is too large; max_image_side=PIXELS sends smaller pictures (Error code: 413)",
            ),
        ),
    ],
)
def test_a_request_that_is_wrong_fails_at_once_and_the_run_goes_on(act: Act, failure: Failure) -> None:
    with ChatServer(act=lambda text, _: act if text == "bad" else None) as server:
        outcomes = asked(server, ["bad", "good"])
    assert outcomes["bad"] == failure
    assert server.attempts["bad"] == 1
    assert isinstance(outcomes["good"], Response)


@pytest.mark.parametrize(
    "act",
    [
        Act(body=completion(None, "content_filter")),
        error(400, "filtered", "content_filter"),
        error(400, "filtered", "content_policy_violation"),
        # Alibaba, GLM, Volcengine, OpenAI's reasoning models, xAI, LiteLLM
        error(400, "Input data may contain inappropriate content.", "data_inspection_failed"),
        error(400, "Input data may contain inappropriate content.", "DataInspectionFailed"),
        error(400, "potentially unsafe or sensitive content in input or generation", "1301"),
        error(400, "may contain sensitive information", "InputImageSensitiveContentDetected.Violence"),
        error(400, "Your prompt was flagged as potentially violating our usage policy.", "invalid_prompt"),
        Act(403, {"code": "no permission", "error": "Content violates usage guidelines. Failed check: BIO"}),
        error(400, "litellm.ContentPolicyViolationError: filtered", "400"),
        Act(403, {"error": {"message": "flagged", "code": 403, "metadata": {"flagged_input": "..."}}}),
        Act(200, {"error": {"message": "flagged", "code": 403, "metadata": {"flagged_input": "..."}}}),
    ],
)
def test_a_content_filter_is_an_outcome_of_its_own(act: Act) -> None:
    with ChatServer(act=lambda *_: act) as server:
        outcome = asked(server, ["a"])["a"]
    assert isinstance(outcome, Response)
    assert (outcome.text, outcome.finish) == ("", "content_filter")
    assert server.attempts["a"] == 1


@pytest.mark.parametrize(
    ("act", "problem", "remedy"),
    [
        (error(401, f"Incorrect key {CANARY}"), "401", "MY_KEY"),
        (error(403, "no access"), "403", "MY_KEY"),
        (Act(407, {}), "the proxy in front of", "http_proxy"),
        (error(404, "no model x"), "has no model name=x", "/v1/models"),
        (error(404, 'model "x" not found, try pulling it first'), "has no model name=x", "ollama pull x"),
        (error(429, "no credit left", "insufficient_quota"), "no credit left", "account"),
        (Act(429, {"error": {"message": "suspended", "type": "exceeded_current_quota_error"}}), "suspended", "account"),
        (error(400, "temperature does not support 0", "unsupported_value"), "temperature", "model.temperature=null"),
        (
            error(400, "'max_tokens' is not supported. Use 'max_completion_tokens' instead.", "unsupported_parameter"),
            "'max_tokens' is not supported",
            "model.max_tokens_parameter=max_completion_tokens",
        ),
        (error(400, "max_tokens is above 256", "unsupported_value"), "above 256", "Change that setting"),
    ],
)
def test_what_every_prompt_would_meet_stops_the_run_with_one_error(
    act: Act, problem: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", CANARY)
    with ChatServer(act=lambda *_: act) as server, pytest.raises(ModelError) as caught:
        asked(server, [str(i) for i in range(500)], api_key_env="MY_KEY")
    assert problem in caught.value.problem
    assert server.url in caught.value.problem
    assert remedy in caught.value.remedy
    assert CANARY not in str(caught.value)
    assert len(server.requests) <= 8


def test_an_endpoint_that_refuses_every_prompt_stops_the_run_unless_it_has_answered_before(tmp_path: Path) -> None:
    def act(text: str, _: int) -> Act | None:
        return None if text == "fine" else error(400, "no logprobs here")

    texts = [str(i) for i in range(2 * REFUSED)]
    with ChatServer(act=act) as server:
        with pytest.raises(ModelError, match="refuses every request to x"):
            asked(server, texts)
        assert REFUSED <= len(server.requests) < REFUSED + 8
        model = OpenAI(name="x", base_url=server.url, concurrency=8)
        assert isinstance(answered(model, [named("fine", "fine")], tmp_path)["fine"], Response)
        # Of a run begun again perhaps only those are left that a filter refuses.
        outcomes = answered(model, [named(text, text) for text in texts], tmp_path)
    assert list(outcomes.values()) == [Failure("http_400", "no logprobs here")] * len(texts)


@pytest.mark.parametrize("status", [400, 404, 429])
def test_an_endpoint_that_answered_and_then_refuses_every_prompt_stops_the_run(status: int) -> None:
    refusal = error(status, "gone", retry_after="86400")
    texts = [str(i) for i in range(3 * REFUSED)]
    with ChatServer(act=lambda text, _: None if len(server.requests) <= 9 else refusal) as server:
        with pytest.raises(ModelError, match="gone") as caught:
            asked(server, texts)
        told = {400: "also one that was answered before", 404: "no model name=x", 429: "prompt away for 86,400 s"}
        assert told[status] in caught.value.problem
        # The prompts under way, and the one more that found it out.
        assert 9 + REFUSED < len(server.requests) < 9 + REFUSED + 16


def test_an_endpoint_that_refuses_many_prompts_and_answers_one_as_before_is_asked_on(tmp_path: Path) -> None:
    texts = ["fine", *(str(i) for i in range(REFUSED)), "fine too"]
    paid: list[Outcome] = []
    with ChatServer(act=lambda text, _: None if "fine" in text else error(400, "rude")) as server:
        model = OpenAI(name="x", base_url=server.url, concurrency=1)
        store = Store(tmp_path)
        with Driver(store, [model], count=lambda _, outcome: paid.append(outcome)) as driver:
            outcomes = list(driver.run(texts, lambda text: driver.call(model, Prompt(text))))
        store.close()
        assert server.attempts["fine"] == 2  # the second to find out
    assert [type(outcome) for outcome in outcomes].count(Failure) == REFUSED
    assert outcomes[-1] == Response("echo: fine too", input_tokens=7, output_tokens=3, seconds=ANY, at=ANY)
    assert sum(isinstance(outcome, Response) for outcome in paid) == 3  # so it stands in the bill


def test_an_unreachable_endpoint_stops_the_run_and_says_how_to_start_it() -> None:
    with pytest.raises(ModelError) as caught:
        asked(DEAD, [str(i) for i in range(500)], server=Server(command=("vllm", "serve", "{name}")))
    assert DEAD in caught.value.problem
    assert "vllm serve x" in caught.value.remedy  # and how it is started for the run
    assert "serve=true" in caught.value.remedy


def test_an_endpoint_that_was_never_there_is_given_up_after_a_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[float] = []
    probes: list[float] = []
    failed = Breaker.failed

    def noted(self: Breaker, started: float) -> None:
        probes.extend([started] * any(started > when for when in opened))  # the others were under way by then
        failed(self, started)
        opened.extend([time.monotonic()] * self.open)

    monkeypatch.setattr(Breaker, "failed", noted)
    with pytest.raises(ModelError, match="nothing answers"):
        asked(DEAD, [str(i) for i in range(64)], concurrency=32)
    assert len(probes) <= 2  # they are two seconds apart


def test_a_server_that_dies_on_the_way_stops_the_run_after_the_patience() -> None:
    def prompts() -> Iterator[Named]:
        for i in range(10_000):
            if i == 200:
                server.__exit__(None, None, None)
            yield named(str(i), str(i))

    server = ChatServer().__enter__()
    dying = OpenAI(name="x", base_url=server.url, patience=1, concurrency=2)
    with pytest.raises(ModelError, match="nothing answers"):
        through(dying, prompts())


def test_the_key_comes_from_the_named_variable_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", CANARY)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-another")
    with ChatServer() as server:
        asked(server, ["a"], api_key_env="MY_KEY")
        asked(server, ["b"], api_key_env=None)
    assert [headers["Authorization"] for headers in server.headers] == [f"Bearer {CANARY}", "Bearer none"]


@pytest.mark.parametrize("setting", [{"api_key_env": CANARY}, {"base_url": f"http://me:{CANARY}@host/v1"}])
def test_a_key_in_place_of_its_name_is_refused_and_not_shown(setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        OpenAI(name="x", **setting)
    assert CANARY not in str(caught.value)


def test_a_url_with_a_query_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigError, match="base_url must hold no user name, password, query") as caught:
        OpenAI(name="x", base_url=f"http://host/v1?x={CANARY}")
    assert CANARY not in str(caught.value)


def test_prompts_go_to_no_address_that_a_server_names() -> None:
    with ChatServer() as other:
        elsewhere = Act(status=307, headers={"Location": f"{other.url}/chat/completions"})
        with (
            ChatServer(act=lambda text, _: elsewhere) as server,
            pytest.raises(ModelError, match="sends requests else"),
        ):
            asked(server, ["a"])
    assert (len(server.requests), other.requests) == (1, [])


def test_every_repeat_is_a_draw_of_its_own() -> None:
    model = OpenAI(name="x", temperature=1, seed=7, repeats=3)
    assert [orjson.loads(model.request(Prompt("a", repeat=n)))["seed"] for n in range(3)] == [7, 8, 9]


def test_who_leaves_out_the_end_of_a_url_is_told_what_it_mostly_is() -> None:
    with ChatServer(act=lambda *_: error(404, "Not Found")) as server:
        bare = server.url.removesuffix("/v1")
        for url, told in ((server.url, False), (bare, True)):
            with pytest.raises(ModelError) as caught:
                asked(url, ["a"])
            assert (f"base_url (mostly {bare}/v1);" in caught.value.remedy) == told


def test_a_key_that_no_header_can_hold_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f"{CANARY}\nx")
    with ChatServer() as server, pytest.raises(ConfigError, match="line break") as caught:
        asked(server, ["a"])
    assert CANARY not in str(caught.value)
    assert not server.requests


def test_a_proxy_of_the_environment_is_gone_through_but_where_it_is_excepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", DEAD)
    monkeypatch.setenv("no_proxy", "localhost")
    with ChatServer() as server:
        with pytest.raises(ModelError, match=r"nothing answers .*the proxy of the environment, 127.0.0.1:\d+: .* ref"):
            asked(server, ["a"])
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert isinstance(asked(server, ["a"])["a"], Response)


@pytest.mark.usefixtures(impatient.__name__)
@pytest.mark.parametrize(
    ("status", "said"), [(407, "lets nothing through"), (403, "lets nothing"), (502, "has failed")]
)
def test_a_proxy_that_lets_no_https_through_is_named(status: int, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Proxy(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            asked_for.append(self.path)
            self.send_error(status)

        def log_message(self, *_: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:  # who was sent away closes the connection
            pass

    asked_for: list[str] = []
    with Quiet(("127.0.0.1", 0), Proxy) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        monkeypatch.setenv("https_proxy", f"http://me:{CANARY}@127.0.0.1:{proxy.server_port}")
        with pytest.raises(ModelError, match=said) as caught:
            asked("https://model.invalid/v1", [str(i) for i in range(500)], give_up=0.5)
        proxy.shutdown()
    assert f"the proxy of the environment, 127.0.0.1:{proxy.server_port}: HTTP {status}" in caught.value.problem
    assert ("https_proxy" in caught.value.remedy) == (status < 500)
    assert CANARY not in str(caught.value)
    assert len(asked_for) <= 8 or status == 502


@pytest.mark.parametrize("proxy", [f"socks5://me:{CANARY}@127.0.0.1:1080", "http://127.0.0.1:port"])
def test_what_is_no_proxy_of_http_is_refused(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", proxy)
    with ChatServer() as server:
        with pytest.raises(ConfigError, match="no proxy of HTTP") as caught:
            asked(server, ["a"])
        monkeypatch.setenv("no_proxy", "127.0.0.1")  # not gone through, it is not looked at either
        assert isinstance(asked(server, ["a"])["a"], Response)
    assert CANARY not in str(caught.value)
    assert "http_proxy=" in caught.value.remedy


def test_certificates_that_are_not_there_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(ConfigError, match=r"SSL_CERT_FILE=.*none.pem cannot be read"):
        asked("https://127.0.0.1:9/v1", ["a"])


def test_a_key_that_a_server_repeats_is_blotted_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    with ChatServer(act=lambda text, _: error(400, f"bad {CANARY}") if text == "a" else None) as server:
        assert asked(server, ["a", "b"])["a"] == Failure("http_400", "bad [key]")


def test_the_fingerprint_holds_what_shapes_a_request_and_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    monkeypatch.setenv("OPENAI_BASE_URL", f"https://me:{CANARY}@host/v1/")
    model = OpenAI(name="x")
    assert model.fingerprint()["endpoint"] == "host/v1"
    assert CANARY not in str(model.fingerprint()) + model.shown_url
    shaping: dict[str, Any] = {"temperature": 0.5, "seed": 1, "top_p": 0.5, "max_tokens": 9, "extra_body": {"a": 1}}
    warm = OpenAI(name="x", temperature=1)
    for name, value in shaping.items():
        assert OpenAI(**{"name": "x", "temperature": 1, name: value}).fingerprint() != warm.fingerprint()
    indifferent: dict[str, Any] = {"concurrency": 3, "timeout": 9, "api_key_env": None, "patience": 9}
    for name, value in indifferent.items():
        assert OpenAI(name="x", **{name: value}).fingerprint() == model.fingerprint()
    for place in (f"https://me:{CANARY}@host/v1/chat/completions", "https://host/v1/responses/"):
        monkeypatch.setenv("OPENAI_BASE_URL", place)
        with pytest.raises(ConfigError, match=r"base_url=https://host/v1/.* ends with") as caught:
            OpenAI(name="x")
        assert caught.value.remedy.endswith("base_url=https://host/v1")
        assert CANARY not in str(caught.value)
    monkeypatch.setenv("OPENAI_BASE_URL", "host:80")
    with pytest.raises(ConfigError, match="OPENAI_BASE_URL=host:80 is not a URL"):
        OpenAI(name="x")


def test_pictures_keep_to_the_limits() -> None:
    with ChatServer() as server:
        model = OpenAI(name="x", base_url=server.url, max_image_side=32, max_image_bytes=5_000)
        small = orjson.loads(model.request(named("a", "a", noise(500))))
        assert "data:image/jpeg" in small["messages"][0]["content"][0]["image_url"]["url"]
        wide = orjson.loads(model.request(Prompt("a", noise(60, 20))))["messages"][0]["content"][0]["image_url"]["url"]
        sent = base64.b64decode(wide.partition(",")[2])
        assert Image.open(io.BytesIO(sent)).size == (32, 11)
        strict = OpenAI(name="x", base_url=server.url, max_image_bytes=5_000)
        prompts = [named("large", "a", noise(500)), named("broken", "b", BytesPicture(b"no", "no"))]
        outcomes = through(strict, prompts)
    assert [outcomes[name].cause for name in ("large", "broken")] == ["image_too_large", "unreadable_image"]  # type: ignore[union-attr]
    assert not server.requests


def test_a_large_body_arrives_whole_and_is_no_warning_to_anybody() -> None:
    text = "pick a lock " * 100_000
    with ChatServer() as server:
        outcomes = asked(server, [text])
        assert isinstance(outcomes[text], Response)
        assert server.requests[0]["messages"] == [{"role": "user", "content": text}]


def test_no_more_requests_start_than_the_rate_allows() -> None:
    with ChatServer() as server:
        asked(server, [str(i) for i in range(21)], requests_per_second=20)
    assert server.times[-1] - server.times[0] >= 0.9


def test_prompts_are_read_only_as_they_are_needed_and_a_consumer_may_stop_early(tmp_path: Path) -> None:
    read: list[int] = []

    def prompts() -> Iterator[Named]:
        for i in range(100_000):
            read.append(i)
            yield named(str(i), str(i))

    before = set(threading.enumerate())
    with ChatServer() as server:
        model = OpenAI(name="x", base_url=server.url, concurrency=4)

        async def ask(prompt: Named) -> str:
            await driver.call(model, prompt)
            return prompt.id

        store = Store(tmp_path)
        with Driver(store, [model]) as driver:
            replies = driver.run(prompts(), ask)
            taken = [next(replies) for _ in range(10)]
        store.close()
        assert server.most <= 4
    assert len(set(taken)) == 10
    assert len(read) <= 2_000
    assert set(threading.enumerate()) <= before


def test_an_error_while_prompts_are_read_reaches_the_caller() -> None:
    def prompts() -> Iterator[Named]:
        yield named("a", "a")
        raise DataError("a broken file")

    with ChatServer() as server, pytest.raises(DataError, match="a broken file"):
        through(OpenAI(name="x", base_url=server.url), prompts())


def test_engines_at_one_endpoint_share_its_strictest_limit(tmp_path: Path) -> None:
    with ChatServer(delay=0.02) as server:
        first = OpenAI(name="x", base_url=server.url, concurrency=16)
        second = OpenAI(name="y", base_url=server.url + "/", concurrency=3)

        async def ask(number: int) -> None:
            prompt = Prompt(str(number))
            await gather(
                driver.call(first, prompt), driver.call(second, prompt), driver.call(first, Prompt(f"{number}!"))
            )

        with Driver(Store(tmp_path), [first, second]) as driver:
            assert len(list(driver.run(range(20), ask))) == 20
    assert len(server.requests) == 60
    assert server.most == 3
