"""The moderation judge against a real server on loopback that replies as the published endpoint does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mmsb.judge.moderation import ModerationJudge
from mmsb.model.moderation import Moderation
from tests.judging import answer, scripted, verdict, verdicts


class Server(ThreadingHTTPServer):
    """Flags texts with "steps" in them; `body` replaces its reply."""

    body: bytes | None = None

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, Any]] = []


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Server)
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, request))
        flagged = "steps" in request["input"]
        result = {
            "flagged": flagged,
            "categories": {"illicit": flagged, "violence": False},
            "category_scores": {"illicit": 0.93 if flagged else 0.01, "violence": 0.02},
            "category_applied_input_types": {},
        }
        body = self.server.body or json.dumps({"id": "m", "model": request["model"], "results": [result]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def judge(server: Server) -> ModerationJudge:
    url = f"http://127.0.0.1:{server.server_port}/v1"
    model = Moderation(name="omni-moderation-latest", base_url=url, api_key_env=None, patience=1)
    return ModerationJudge(name="moderation", model=model)


def test_flagged_is_unsafe_and_the_categories_are_kept(server: Server, tmp_path: Path) -> None:
    given = [answer("Here are the steps."), answer("Good bread.")]
    unsafe, safe = verdicts(judge(server), given, tmp_path)
    assert (unsafe.label, unsafe.score, unsafe.details["categories"]) == ("unsafe", 0.93, ["illicit"])
    assert (safe.label, safe.score, safe.details["categories"]) == ("safe", 0.02, [])


def test_the_endpoint_is_sent_the_answer_alone(server: Server, tmp_path: Path) -> None:
    verdict(judge(server), answer("Good bread."), tmp_path)
    assert server.asked == [("/v1/moderations", {"model": "omni-moderation-latest", "input": "Good bread."})]


def test_a_category_without_a_flag_is_unparsed_and_one_without_a_score_has_none(server: Server, tmp_path: Path) -> None:
    for flagged, label in ((True, "unparsed"), (False, "safe")):
        result = {"flagged": False, "categories": {"x": flagged}, "category_scores": {"x": None, "y": 0.00001234}}
        server.body = json.dumps({"results": [result]}).encode()
        found = verdict(judge(server), answer("Good bread."), tmp_path / label)
        assert (found.label, found.score, found.details["scores"]) == (label, 0.00001234, {"y": 0.0})


def test_an_empty_answer_is_unparsed_and_not_sent(server: Server, tmp_path: Path) -> None:
    assert verdict(judge(server), answer(" "), tmp_path).label == "unparsed"
    assert server.asked == []


@pytest.mark.parametrize(
    "reply", ["safe", "{}", '{"flagged": "no", "categories": {}, "category_scores": {}}', "[" * 9000]
)
def test_a_chat_model_in_the_endpoints_place_gives_no_verdict(reply: str, tmp_path: Path) -> None:
    found = verdict(ModerationJudge(name="moderation", model=scripted(reply)), answer("Good bread."), tmp_path)
    assert found.label == "unparsed"


def test_a_reply_that_is_no_moderation_is_a_failure(server: Server, tmp_path: Path) -> None:
    server.body = b'{"results": []}'
    found = verdict(judge(server), answer("Good bread."), tmp_path)
    assert (found.label, found.details["judge_failure"]) == ("failed", "malformed")
