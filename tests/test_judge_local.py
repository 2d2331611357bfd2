"""Judges that run in this process: tiny random models through the real loading path, and the published formats."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from mmsb.errors import ModelError
from mmsb.judge import guards
from mmsb.judge.base import Answer
from mmsb.judge.guards import LlamaGuard
from mmsb.judge.refusal_classifier import RefusalClassifier
from mmsb.model.hf import HF
from mmsb.model.shieldgemma2 import ShieldGemma2
from mmsb.model.text import Classifier, Text
from mmsb.picture import BytesPicture
from mmsb.types import PLACE, How, Prompt, Response
from tests.asking import Named, generated, named
from tests.judging import PICTURE, SCENARIOS, answer, verdict
from tests.small_llava import tokenizer
from tests.small_today import save_small_shieldgemma2

TURNS = "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}verdict:"


def tiny() -> dict[str, Any]:
    words = tokenizer()
    return {
        "vocab_size": len(words),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "pad_token_id": words.pad_token_id,
        "initializer_range": 0.5,
    }


@pytest.fixture(scope="module")
def causal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("causal")
    words = tokenizer()
    words.chat_template = TURNS
    words.save_pretrained(folder)
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**tiny(), eos_token_id=words.eos_token_id)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    folder = tmp_path_factory.mktemp("classifier")
    tokenizer().save_pretrained(folder)
    torch.manual_seed(0)
    labels = {0: "NORMAL", 1: "REJECTION"}
    config = BertConfig(**tiny(), id2label=labels, label2id={label: n for n, label in labels.items()})
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def text(folder: Path, **settings: Any) -> Text:
    return Text(name="tiny", name_or_path=str(folder), dtype="float32", device="cpu", max_new_tokens=6, **settings)


def answered(model: Any, prompts: list[Named]) -> dict[str, str]:
    found = generated(model, prompts)
    return {name: outcome.text for name, outcome in found.items() if isinstance(outcome, Response)}


def test_a_causal_model_answers_in_a_batch_as_it_does_alone(causal: Path) -> None:
    prompts = [named(str(n), "the image shows " * n, reply="a phrase") for n in range(1, 5)]
    together = answered(text(causal), prompts)
    alone = {name: said for prompt in prompts for name, said in answered(text(causal, batch_size=1), [prompt]).items()}
    assert together == alone
    assert len(set(together.values())) > 1


def test_a_prompt_and_its_reply_are_two_turns_and_special_tokens_in_them_are_plain_text(causal: Path) -> None:
    model = text(causal)
    shown = model.rendered(model.load(), named("p", "Hi</s>", system="Be fair.", reply="No<s>."))
    assert shown == "<s>system: Be fair.\nuser: Hi<\u200b/s>\nassistant: No<\u200bs>.\nverdict:"


PARTS = (
    "{% for m in messages %}{{ m.role }}:"
    "{% for c in m.content | selectattr('type', 'equalto', 'text') %}{{ c.text }}{% endfor %};{% endfor %}"
)


def test_a_template_that_reads_parts_is_given_parts_not_an_empty_exchange(causal: Path) -> None:
    """As that of Llama Guard 3 1B does: of a plain string it makes nothing, and the guard says that nothing is safe."""
    model = text(causal)
    loaded = dataclasses.replace(model.load(), tokenizer=copy.deepcopy(model.load().tokenizer))
    loaded.tokenizer.chat_template = PARTS
    assert model.rendered(loaded, named("p", "Hi", reply="No.")) == "user:Hi;assistant:No.;"
    loaded.tokenizer.chat_template = "{{ messages[0].content }}"
    with pytest.raises(ModelError, match="leaves out what it is shown"):
        model.rendered(loaded, named("p", "Hi", reply="No."))


def test_a_template_of_the_settings_replaces_the_models_own(causal: Path) -> None:
    model = text(causal, template="{{ mark }} {{ messages[1].content }}", template_arguments={"mark": "!"})
    assert model.rendered(model.load(), named("p", "Hi", reply="No.")) == "! No."


def test_a_picture_is_refused_by_a_model_without_eyes(causal: Path) -> None:
    with pytest.raises(ModelError, match="text only"):
        answered(text(causal), [named("p", "Hi", BytesPicture(b"x", "x"))])


def test_what_is_no_model_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be loaded"):
        text(tmp_path).load()


def test_weights_that_do_not_match_are_refused(causal: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    tokenizer().save_pretrained(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(causal)
    kept = {name: value for name, value in model.state_dict().items() if "layers.1.mlp" not in name}
    model.save_pretrained(tmp_path, state_dict=kept)
    with pytest.raises(ModelError, match=r"missing model\.layers\.1\.mlp"):
        text(tmp_path).load()


def test_a_guard_judges_with_a_local_model_and_what_it_mumbles_is_unparsed(causal: Path, tmp_path: Path) -> None:
    found = verdict(LlamaGuard(name="guard", model=text(causal)), answer("Bread."), tmp_path)
    assert found.label == "unparsed"
    assert found.raw


def test_a_classifier_gives_every_label_its_probability(classifier: Path) -> None:
    model = Classifier(name="tiny", name_or_path=str(classifier), dtype="float32", device="cpu")
    replies = answered(model, [named(str(n), "q", reply="the image " * n) for n in (1, 3, 400)])
    for reply in replies.values():
        probabilities = json.loads(reply)
        assert set(probabilities) == {"NORMAL", "REJECTION"}
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-3)


def test_a_classifier_can_be_shown_question_and_answer(classifier: Path) -> None:
    settings: dict[str, Any] = {"name": "t", "name_or_path": str(classifier), "dtype": "float32", "device": "cpu"}
    prompts = [named("a", "the image", reply="shows"), named("b", "a phrase of an activity", reply="shows")]
    alone = answered(Classifier(**settings), prompts)
    both = answered(Classifier(**settings, template="{{ user }} {{ assistant }}"), prompts)
    assert alone["a"] == alone["b"]
    assert both["a"] != both["b"]


def test_a_refusal_classifier_judges_with_a_local_model(classifier: Path, tmp_path: Path) -> None:
    model = Classifier(name="tiny", name_or_path=str(classifier), dtype="float32", device="cpu")
    found = verdict(RefusalClassifier(model=model), answer("the image shows"), tmp_path)
    assert found.refusal == (found.label == "safe")


def test_what_closes_an_exchange_is_a_turn_of_the_users(causal: Path, small_llava: Path) -> None:
    model, prompt = text(causal), named("p", "Hi", reply="No.")
    closed = dataclasses.replace(prompt, how=How(closing="Is it?"))
    assert model.rendered(model.load(), closed) == "<s>user: Hi\nassistant: No.\nuser: Is it?\nverdict:"
    seeing = HF(name="t", name_or_path=str(small_llava), dtype="float32", device="cpu", backend="pil")
    turns = seeing._messages(seeing.load(), closed)
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]


def test_a_picture_goes_where_the_text_has_its_place(small_llava: Path) -> None:
    model = HF(name="t", name_or_path=str(small_llava), dtype="float32", device="cpu", backend="pil")
    prompt = Prompt(f"Before {PLACE} after.", PICTURE, how=How(placed=True))
    [turn] = model._messages(model.load(), prompt)
    assert [part.get("text", part["type"]) for part in turn["content"]] == ["Before ", "image", " after."]


def test_shieldgemma_2_is_asked_about_each_policy_as_transformers_asks_it(tmp_path: Path) -> None:
    """Probabilities against transformers' own processor and model, of pictures and policies of different lengths."""
    import torch

    folder = save_small_shieldgemma2(tmp_path / "model")
    model = ShieldGemma2(name="t", name_or_path=str(folder), dtype="float32", device="cpu", backend="pil")
    loaded = model.load()
    policies = ["no bread", "the image shows a phrase of an activity"]
    picture = PICTURE
    found = generated(model, [named(policy, policy, picture) for policy in policies])
    inputs = loaded.processor(
        images=[picture.load()],
        custom_policies=dict(zip("ab", policies, strict=True)),
        policies=["a", "b"],
        return_tensors="pt",
    )
    with torch.inference_mode():
        theirs = loaded.model(**inputs).probabilities.tolist()
    for policy, (yes, no) in zip(policies, theirs, strict=True):
        said = found[policy]
        assert isinstance(said, Response)
        assert said.chances == pytest.approx({"yes": yes, "no": no}, abs=1e-5)
        assert said.text == ("Yes" if yes >= no else "No")
    assert theirs[0] != pytest.approx(theirs[1], abs=1e-4)
    request = Answer(Prompt("Look.", picture), Response("Look."), SCENARIOS["fraud"], request=True)
    judge = guards.ShieldGemma2(
        name="g", model=model, turn="{{ context }}", pictures=True, request="prompt", context=tuple(policies)
    )
    judged = verdict(judge, request, tmp_path / "store")
    highest = max(yes for yes, _ in theirs)
    assert judged.score == pytest.approx(highest, abs=1e-5)
    assert judged.label == ("unsafe" if highest >= 0.5 else "safe")
    by_threshold = dataclasses.replace(judge, threshold=highest / 2)
    assert verdict(by_threshold, request, tmp_path / "store").label == "unsafe"


def test_a_vision_model_is_shown_the_reply_as_the_assistants_turn(small_llava: Path) -> None:
    template = "{% for m in messages %}{{ m.role }}:{% for c in m.content %}{{ c.text }}{% endfor %};{% endfor %}"
    model = HF(name="t", name_or_path=str(small_llava), dtype="float32", device="cpu", backend="pil", template=template)
    loaded = model.load()
    shown = loaded.processor.tokenizer.decode(
        model.inputs(loaded, [named("p", "Hi", reply="No</s>.")])["input_ids"][0], skip_special_tokens=True
    )
    assert shown.replace("\u200b", "") == "user:Hi;assistant:No</s>.;"
