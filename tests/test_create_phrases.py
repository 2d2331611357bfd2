from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmsb.create.asking import Asker
from mmsb.create.folder import Folder, write_json
from mmsb.create.phrases import make_phrases
from mmsb.create.propose import Draft, is_near, propose
from mmsb.create.questions import bring_questions
from mmsb.errors import DataError
from mmsb.model.openai import OpenAI
from mmsb.scenario import official_scenarios
from mmsb.store import Store
from tests.endpoint import Act, ChatServer, Messages, completion, error, text_of
from tests.instructing import GOOD, OURS

FRAUD = next(scenario for scenario in official_scenarios() if scenario.name == "fraud")
LEGAL = next(scenario for scenario in official_scenarios() if scenario.name == "legal_opinion")


def model(server: ChatServer, tmp_path: Path) -> tuple[Store, OpenAI]:
    return Store(tmp_path / "store"), OpenAI(name="scripted", base_url=server.url, api_key_env=None)


def folder_with(tmp_path: Path, *questions: str) -> Folder:
    source = tmp_path / "source"
    source.mkdir(exist_ok=True)
    (source / f"{FRAUD.id}.txt").write_text("\n".join(questions) + "\n")
    folder = Folder(tmp_path / "data")
    bring_questions(folder, source, [FRAUD])
    return folder


def test_a_question_becomes_a_record_in_the_authors_terms_and_is_asked_once(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "How do I bake bread?", "", "  How do I   bake bread at home? ")
    with ChatServer(reply=lambda messages: GOOD) as server:
        for made in (2, 0):
            store, engine = model(server, tmp_path)
            done = make_phrases(folder, [FRAUD], Asker(engine, store), OURS, attempts=3)
            store.close()
            assert (done.made, done.kept, done.lacking) == (made, 2 - made, {})
        assert len(server.requests) == 2
    records = json.loads(folder.records_file(FRAUD.id).read_text())
    assert list(records) == ["0", "1"]
    assert records["1"]["Question"] == "How do I bake bread at home?"
    assert records["0"]["GPT-Pred"] == GOOD
    assert records["0"]["Rephrased Question(SD)"].startswith("The image shows a phrase of an activity.")
    assert [question.key_phrase for question in folder.questions(FRAUD)] == ["bake bread", "bake bread"]


def test_a_reply_that_cannot_be_used_is_asked_for_again_with_what_was_wrong(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "How do I bake bread?")

    def reply(messages: Messages) -> str:
        return GOOD if "it lacks the section" in text_of(messages) else "Sure, here it is."

    with ChatServer(reply=reply) as server:
        store, engine = model(server, tmp_path)
        done = make_phrases(folder, [FRAUD], Asker(engine, store), OURS, attempts=3)
        store.close()
        assert (done.made, len(server.requests)) == (1, 2)
    assert not folder.review_file(FRAUD.id).exists()


def test_what_stays_unusable_is_listed_and_a_persons_record_stays(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "How do I bake bread?", "What about fish?", "Nonsense?")

    def reply(messages: Messages) -> str:
        return "I cannot." if "Nonsense" in text_of(messages) else GOOD

    with ChatServer(reply=reply) as server:
        store, engine = model(server, tmp_path)
        done = make_phrases(folder, [FRAUD], Asker(engine, store), OURS, attempts=2)
        assert (done.made, done.told) == (2, "1 refused by the model")
        listed = json.loads(folder.review_file(FRAUD.id).read_text())
        assert [entry["id"] for entry in listed] == ["2"]
        records = folder.records(FRAUD.id)
        write_json(folder.records_file(FRAUD.id), {**records, "2": {**records["0"], "Question": "Nonsense?"}})
        asked = len(server.requests)
        assert make_phrases(folder, [FRAUD], Asker(engine, store), OURS, attempts=2).kept == 3
        store.close()
        assert len(server.requests) == asked
    assert "2" in folder.records(FRAUD.id)
    assert not folder.review_file(FRAUD.id).exists()


def test_a_doubtful_phrase_gets_a_record_and_is_listed(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "How do I fry fish?")
    odd = GOOD.replace("List steps in detail to bake bread.", "List steps in detail to fry fish.")
    with ChatServer(reply=lambda messages: odd) as server:
        store, engine = model(server, tmp_path)
        done = make_phrases(folder, [FRAUD], Asker(engine, store), OURS, attempts=2)
        store.close()
    assert (done.made, done.told) == (1, "1 doubtful")
    listed = json.loads(folder.review_file(FRAUD.id).read_text())
    assert "does not occur" in listed[0]["problem"]


def test_the_authors_records_are_taken_byte_for_byte(tmp_path: Path, authors_data: Path) -> None:
    folder, source = Folder(tmp_path / "data"), authors_data / "processed_questions"
    assert bring_questions(folder, source, list(official_scenarios())) == "1,680 records"
    for path in source.glob("*.json"):
        assert folder.records_file(path.stem).read_bytes() == path.read_bytes()


def test_records_with_line_ends_of_windows_keep_them(tmp_path: Path) -> None:
    record = {"Question": "How?", "Changed Question": "How?", "Key Phrase": "bread", "Phrase Type": "food"}
    record |= {"Rephrased Question": "The bottom?", "Rephrased Question(SD)": "The image?"}
    data = json.dumps({"0": record}, indent=1).replace("\n", "\r\n").encode()
    (tmp_path / f"{FRAUD.id}.json").write_bytes(data)
    folder = Folder(tmp_path / "data")
    assert bring_questions(folder, tmp_path, [FRAUD]) == "1 records"
    assert folder.records_file(FRAUD.id).read_bytes() == data


def test_a_scenario_without_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / f"{FRAUD.id}.txt").write_text("\n")
    with pytest.raises(DataError, match=LEGAL.id):
        bring_questions(Folder(tmp_path / "data"), tmp_path, [LEGAL])
    with pytest.raises(DataError, match="no questions"):
        bring_questions(Folder(tmp_path / "data"), tmp_path, [FRAUD])


def test_proposed_questions_are_new_and_distinct_and_wait_for_review(tmp_path: Path) -> None:
    folder, replies = Folder(tmp_path / "data"), iter(range(100))

    def reply(messages: Messages) -> str:
        n = next(replies)
        return (
            f"Here:\n1. How do I bake bread?\n2. Who sells recipe number {n}?\n3) Who sells recipe number {n}, please?"
        )

    with ChatServer(reply=reply) as server:
        store, engine = model(server, tmp_path)
        draft = Draft(FRAUD, "bread", ["How do I bake bread?"], wanted=2)
        assert propose(folder, [draft], Asker(engine, store)) == []
        store.close()
    lines = (folder.root / "proposed" / f"{FRAUD.id}.txt").read_text().splitlines()
    assert lines == ["Who sells recipe number 0?", "Who sells recipe number 1?"]
    assert folder.scenarios() == []


def test_after_a_reply_without_anything_new_the_model_is_asked_anew(tmp_path: Path) -> None:
    folder, replies = Folder(tmp_path / "data"), iter(["1. How do I bake bread?", "1. Who sells flour?"])
    with ChatServer(reply=lambda messages: next(replies)) as server:
        store, engine = model(server, tmp_path)
        propose(folder, [Draft(FRAUD, "bread", ["How do I bake bread?"], wanted=1)], Asker(engine, store))
        store.close()
    assert (folder.root / "proposed" / f"{FRAUD.id}.txt").read_text() == "Who sells flour?\n"


def test_near_duplicates_share_most_of_their_words() -> None:
    assert is_near("How do I bake bread?", ["how do i bake BREAD"])
    assert not is_near("How do I bake bread?", ["How do I bake a cake for ten people?"])


def test_every_attempt_is_a_call_of_its_own_and_later_commands_go_on_counting(tmp_path: Path) -> None:
    folder, refuses = folder_with(tmp_path, "How do I bake bread?"), True

    def reply(messages: Messages) -> str:
        return "I'm sorry, but I can't help with that." if refuses else GOOD

    with ChatServer(reply=reply) as server:
        for calls in (3, 6):
            store, engine = model(server, tmp_path)
            done = make_phrases(folder, [FRAUD], Asker(engine, store), OURS, attempts=3)
            store.close()
            assert (done.made, done.told, len(server.requests)) == (0, "1 refused by the model", calls)
        listed = json.loads(folder.review_file(FRAUD.id).read_text())
        assert (listed[0]["reason"], listed[0]["tried"]) == ("refused by the model", 6)
        refuses = False  # the endpoint is repaired
        store, engine = model(server, tmp_path)
        assert make_phrases(folder, [FRAUD], Asker(engine, store), OURS, attempts=3).made == 1
        store.close()
        assert len(server.requests) == 7
    assert not folder.review_file(FRAUD.id).exists()


def test_a_refusal_is_told_apart_from_a_broken_form_and_from_a_failure(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "refuse?", "filter?", "break?", "fail?")

    def reply(messages: Messages) -> str:
        return "I cannot assist with that request." if "refuse" in text_of(messages) else "Bread is nice."

    def act(text: str, attempt: int) -> Act | None:
        if "filter" in text:
            return Act(body=completion("", "content_filter"))
        return error(400, "too long") if "fail" in text else None

    with ChatServer(reply=reply, act=act) as server:
        store, engine = model(server, tmp_path)
        done = make_phrases(folder, [FRAUD], Asker(engine, store), OURS, attempts=1)
        store.close()
    reasons = {item.question: item.reason for item in done.items}
    assert reasons == {"refuse?": "refused", "filter?": "refused", "break?": "form", "fail?": "failed"}
    assert sorted(done.lacking) == [f"{FRAUD.id}/{number}" for number in range(4)]


def test_a_doubtful_record_stays_when_a_later_attempt_is_refused(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "How do I fry fish?")
    odd = GOOD.replace("to bake bread.", "to fry fish.")

    def reply(messages: Messages) -> str:
        return "I'm sorry, I can't." if "could not be used" in text_of(messages) else odd

    with ChatServer(reply=reply) as server:
        store, engine = model(server, tmp_path)
        done = make_phrases(folder, [FRAUD], Asker(engine, store), OURS, attempts=2)
        store.close()
    assert (done.made, done.told) == (1, "1 doubtful")
    assert folder.records(FRAUD.id)["0"]["GPT-Pred"] == odd
