"""LLaMA-Adapter V2: every published key at full size, batches, and its files as they are published."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from mmsb.convert.conversion import Conversion
from mmsb.errors import ModelError
from mmsb.image_mode.typography import TypedText
from tests.asking import named
from tests.composed_models import TINY, preset, tokenizer_folder
from tests.plain import (
    Shapes,
    check_batches,
    check_full_size,
    clip_shapes,
    dense_shapes,
    llama_shapes,
    norm_shapes,
    tiny,
)

SIZES = TINY["LlamaAdapter"]
PICTURE = TypedText("a phrase")
NORMS = ("attention_norm", "ffn_norm")


def bias_variant(sizes: dict[str, Any]) -> dict[str, Shapes]:
    """Keys and shapes of CLIP, of BIAS-7B.pth and of LLaMA 1."""
    vision, reader, text = sizes["vision"], sizes["reader"], sizes["text"]
    width, hidden, inner = reader["hidden_size"], text["hidden_size"], text["intermediate_size"]
    queries = reader["num_query_tokens"]
    adapter: Shapes = {
        "visual_query.weight": (queries, width),
        "adapter_query.weight": (queries * text["adapted_layers"], hidden),
        "llama.norm.weight": (hidden,),
        **dense_shapes("clip_proj", vision["projection_dim"], width),
        **norm_shapes("clip_proj_norm", width),
        **dense_shapes("visual_proj", width, hidden),
        **norm_shapes("visual_proj_norm", hidden),
    }
    for n in range(reader["num_hidden_layers"]):
        block = f"visual_blocks.{n}"
        adapter |= norm_shapes(f"{block}.norm1", width) | norm_shapes(f"{block}.norm2", width)
        adapter |= dense_shapes(f"{block}.attn.qkv", width, 3 * width) | dense_shapes(
            f"{block}.attn.proj", width, width
        )
        adapter |= dense_shapes(f"{block}.mlp.fc1", width, 4 * width) | dense_shapes(
            f"{block}.mlp.fc2", 4 * width, width
        )
    for n in range(text["num_hidden_layers"]):
        layer = f"llama.layers.{n}"
        adapter |= {f"{layer}.{name}.weight": (hidden,) for name in NORMS}
        adapter |= {
            f"{layer}.attention.gate": (1, text["num_attention_heads"], 1, 1),
            f"{layer}.attention.wq.bias": (hidden,),
            f"{layer}.attention.wo.bias": (hidden,),
            f"{layer}.feed_forward.w1.bias": (inner,),
            f"{layer}.feed_forward.w2.bias": (hidden,),
            f"{layer}.feed_forward.w3.bias": (inner,),
        }
    whole = {"logit_scale": (), "text_projection.weight": (8, 8), "text_model.final_layer_norm.weight": (8,)}
    seen = {"visual_projection.weight": (vision["projection_dim"], vision["hidden_size"]), **whole}
    return {
        "vision": clip_shapes(vision, "vision_model.") | seen,
        "adapter": adapter,
        "language": llama_shapes(text),
    }


def lora_variant(sizes: dict[str, Any]) -> dict[str, Shapes]:
    """The same with LORA-BIAS-7B.pth."""
    files, text, rank = bias_variant(sizes), sizes["text"], 16
    hidden, inner = text["hidden_size"], text["intermediate_size"]
    for n in range(text["num_hidden_layers"]):
        attention, mlp = f"llama.layers.{n}.attention", f"llama.layers.{n}.feed_forward"
        files["adapter"][f"{attention}.new_gate"] = (1, 1, 1, 1)
        places = [(f"{attention}.lora_w{name}", hidden, hidden) for name in "qkvo"]
        places += [
            (f"{mlp}.lora_w1", hidden, inner),
            (f"{mlp}.lora_w2", inner, hidden),
            (f"{mlp}.lora_w3", hidden, inner),
        ]
        for key, into, out in places:
            files["adapter"] |= {f"{key}_l1.weight": (rank, into), f"{key}_l2.weight": (out, rank)}
    return files


@pytest.mark.parametrize(("published", "rank"), [(bias_variant, 0), (lora_variant, 16)])
def test_every_published_key_lands_at_full_size_and_nothing_is_left(published: Any, rank: int, tmp_path: Path) -> None:
    net = check_full_size("llama_adapter_v2", published, tmp_path)
    assert net.language_model.model.layers[0].mlp.up_proj.rank == rank


def test_a_batch_answers_as_one_by_one(tmp_path: Path) -> None:
    check_batches(tiny("llama_adapter_v2", lora_variant, tmp_path / "made")[0])


def test_nothing_of_an_image_stays_after_an_answer(tmp_path: Path) -> None:
    model, _ = tiny("llama_adapter_v2", bias_variant, tmp_path / "made")
    loaded = model.load()
    model.run(loaded, model.inputs(loaded, [named("1", "What?", PICTURE)]), 0)
    assert not any(hasattr(layer.self_attn, "prompt_keys") for layer in loaded.net.language_model.model.layers)


def test_files_as_they_are_published_become_a_checkpoint(tmp_path: Path) -> None:
    """CLIP as safetensors, the adapter pickled beside its settings, LLaMA in pickled shards."""
    model, files = tiny("llama_adapter_v2", bias_variant, tmp_path / "made")
    sources = tmp_path / "sources"
    for folder in ("clip-vit-large-patch14", "llama-7b"):
        (sources / folder).mkdir(parents=True)
    save_file(files["vision"], sources / "clip-vit-large-patch14" / "model.safetensors")
    torch.save({"model": files["adapter"], "config": {"w_bias": True, "lora_rank": 16}}, sources / "BIAS-7B.pth")
    keys = sorted(files["language"])
    shards = {"pytorch_model-1.bin": keys[::2], "pytorch_model-2.bin": keys[1::2]}
    for name, held in shards.items():
        torch.save({key: files["language"][key] for key in held}, sources / "llama-7b" / name)
    index = {"weight_map": {key: name for name, held in shards.items() for key in held}}
    (sources / "llama-7b" / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    tokenizer_folder(sources / "llama-7b")
    source = {entry: dataclasses.replace(one, sha256=None) for entry, one in model.source.items()}
    again = dataclasses.replace(model, name_or_path=str(tmp_path / "again"), source=source)
    Conversion(model=again, sources=sources).run()
    made, other = model.load().net.state_dict(), again.load().net.state_dict()
    assert made.keys() == other.keys()
    assert all(torch.equal(tensor, other[key]) for key, tensor in made.items())


def test_an_adapter_of_another_digest_is_refused(tmp_path: Path) -> None:
    model = preset("llama_adapter_v2", name_or_path=str(tmp_path / "made"))
    for entry in model.source.values():
        (tmp_path / entry.path).write_bytes(b"something else")
    with pytest.raises(ModelError, match=r"BIAS-7B\.pth has SHA-256"):
        Conversion(model=model, sources=tmp_path).run()
