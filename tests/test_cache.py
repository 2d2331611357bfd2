from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from mmsb.model import cache
from mmsb.model.cache import growing_cache

SIZES: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "Llama": {},
    # two layers that keep a window of tokens, and one that keeps all
    "Gemma3Text": {"sliding_window": 4, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
    # two that keep a state, and one that keeps all tokens
    "Qwen3_5Text": {
        "layer_types": ["linear_attention", "full_attention", "linear_attention"],
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 2,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
    },
}
PROMPTS = {
    "input_ids": torch.tensor([[0, 0, 5, 6, 7, 8], [9, 10, 11, 12, 13, 14]]),
    "attention_mask": torch.tensor([[0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]]),
}


def built(family: str, **changes: Any) -> Any:
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**SIZES | FAMILIES[family] | changes)
    return transformers.AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval()


def settled(**changes: Any) -> dict[str, Any]:
    wanted = {"max_new_tokens": 20, "min_new_tokens": 20, "do_sample": False}
    return {**wanted, "return_dict_in_generate": True, "output_logits": True, **changes}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_cache_that_grows_in_place_gives_the_logits_of_transformers_own(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "ROOM", 8)  # so that room is made three times
    model, asked = built(family), settled()
    grows = growing_cache(model, asked)
    with torch.inference_mode():
        own, ours = (model.generate(**PROMPTS, **asked, **given) for given in ({}, grows))
    assert ours.past_key_values is grows["past_key_values"]
    assert torch.equal(ours.sequences, own.sequences)
    for step, expected in zip(ours.logits, own.logits, strict=True):
        assert torch.equal(step, expected)
    kinds = [type(layer).__name__ for layer in ours.past_key_values.layers]
    assert "GrowingLayer" in kinds
    assert (family == "Llama") == (set(kinds) == {"GrowingLayer"})  # the others' own kinds keep their way


def test_a_token_is_written_beside_the_others_until_there_is_no_more_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "ROOM", 16)
    layer = growing_cache(built("Llama"), settled())["past_key_values"].layers[0]
    columns = torch.randn(2, 3, 40, 8)
    held = []
    for column in torch.split(columns, [6, *[1] * 34], dim=2):
        keys, values = layer.update(column, 2 * column)
        held.append(keys.data_ptr())
        seen = keys.shape[2]
        assert torch.equal(keys, columns[:, :, :seen])
        assert torch.equal(values, 2 * columns[:, :, :seen])
    assert len(set(held)) == 3  # 6 and 16 more, 23 and 16 more, the last

    layer.batch_select_indices(torch.tensor([1]))  # rows that somebody else picked count
    keys, _ = layer.update(columns[1:, :, :1], columns[1:, :, :1])
    assert torch.equal(keys, torch.cat([columns[1:], columns[1:, :, :1]], dim=2))
    layer.crop(-5)
    keys, _ = layer.update(columns[1:, :, :1], columns[1:, :, :1])
    assert torch.equal(keys, torch.cat([columns[1:, :, :36], columns[1:, :, :1]], dim=2))


@pytest.mark.parametrize(
    "said",
    [{"num_beams": 2}, {"cache_implementation": "static"}, {"use_cache": False}, {"prompt_lookup_num_tokens": 3}],
)
def test_whoever_says_something_of_the_cache_has_his_way(said: dict[str, Any]) -> None:
    assert growing_cache(built("Llama"), settled(**said)) == {}


def test_a_model_that_reads_and_writes_apart_keeps_its_own_cache() -> None:
    config = transformers.T5Config(vocab_size=50, d_model=16, d_ff=16, d_kv=4, num_layers=1, num_heads=2)
    assert growing_cache(transformers.T5ForConditionalGeneration(config), settled()) == {}
