"""LLaMA-Adapter V2 against a plain computation in Meta's own order of heads, with the published key names."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.nn.functional import gelu, linear, silu

from mmsb.convert.conversion import Conversion
from mmsb.errors import ModelError
from mmsb.image_mode.typography import TypedText
from tests.asking import named
from tests.composed_models import TINY, preset, sentencepiece_model, tokenizer_folder
from tests.plain import (
    Shapes,
    State,
    attend,
    causal,
    check_answer,
    check_batches,
    check_full_size,
    clip,
    clip_shapes,
    close,
    dense,
    dense_shapes,
    llama_shapes,
    norm,
    norm_shapes,
    prefill,
    rms,
    tiny,
    with_tokens,
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


def reader(pixels: torch.Tensor, files: dict[str, State]) -> torch.Tensor:
    state, sizes = files["adapter"], SIZES["reader"]
    seen = clip(pixels, files["vision"], "vision_model.", {**SIZES["vision"], "layer_norm_eps": 1e-5})
    seen = norm(seen, files["vision"], "vision_model.post_layernorm")
    seen = norm(dense(dense(seen, files["vision"], "visual_projection"), state, "clip_proj"), state, "clip_proj_norm")
    x = torch.cat([state["visual_query.weight"].expand(len(pixels), -1, -1), seen], dim=1)
    for n in range(sizes["num_hidden_layers"]):
        block = f"visual_blocks.{n}"
        q, k, v = dense(norm(x, state, f"{block}.norm1"), state, f"{block}.attn.qkv").chunk(3, dim=-1)
        x = x + dense(attend(q, k, v, sizes["num_attention_heads"]), state, f"{block}.attn.proj")
        h = gelu(dense(norm(x, state, f"{block}.norm2"), state, f"{block}.mlp.fc1"))
        x = x + dense(h, state, f"{block}.mlp.fc2")
    return norm(dense(x[:, : sizes["num_query_tokens"]], state, "visual_proj"), state, "visual_proj_norm")


def in_metas_order(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows of transformers' query or key weights, in the order in which Meta published them."""
    size = len(weight) // heads
    rows = [
        head * size + part * size // 2 + at for head in range(heads) for at in range(size // 2) for part in range(2)
    ]
    return weight[rows]


def turned(x: torch.Tensor, heads: int) -> torch.Tensor:
    """Rotary positions in Meta's order: neighbours are a complex number. [length, heads * size]."""
    size = x.shape[-1] // heads
    angles = torch.arange(len(x))[:, None] / 10000 ** (torch.arange(0, size, 2) / size)
    numbers = torch.view_as_complex(x.view(len(x), heads, size // 2, 2).contiguous())
    return torch.view_as_real(numbers * torch.polar(torch.ones_like(angles), angles)[:, None]).flatten(1)


def logits(x: torch.Tensor, image: torch.Tensor, files: dict[str, State]) -> torch.Tensor:
    base, state, sizes = files["language"], files["adapter"], SIZES["text"]
    heads, layers = sizes["num_attention_heads"], sizes["num_hidden_layers"]
    prompts = state["adapter_query.weight"].view(sizes["adapted_layers"], -1, x.shape[-1])
    for n in range(layers):
        layer, ours = f"llama.layers.{n}", f"model.layers.{n}"

        def to(place: str, name: str, weight: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
            key = f"{layer}.{place}.w{name}"  # noqa: B023
            out = linear(h, weight, state.get(f"{key}.bias"))
            key = f"{layer}.{place}.lora_w{name}"  # noqa: B023
            return (
                out + h @ state[f"{key}_l1.weight"].T @ state[f"{key}_l2.weight"].T
                if f"{key}_l1.weight" in state
                else out
            )

        q_w, k_w = (in_metas_order(base[f"{ours}.self_attn.{name}_proj.weight"], heads) for name in "qk")
        v_w, o_w = (base[f"{ours}.self_attn.{name}_proj.weight"] for name in "vo")
        h = rms(x, state[f"{layer}.attention_norm.weight"], 1e-6)
        q = turned(to("attention", "q", q_w, h), heads)
        k, v = turned(to("attention", "k", k_w, h), heads), to("attention", "v", v_w, h)
        out = causal(q, k, v, heads)
        if n >= layers - sizes["adapted_layers"]:
            prompt = prompts[n - layers + sizes["adapted_layers"]] + image
            added = attend(q, prompt @ k_w.T, prompt @ v_w.T, heads)
            gate = state[f"{layer}.attention.gate"].tanh() * state.get(f"{layer}.attention.new_gate", torch.tensor(1.0))
            out = out + added * gate.flatten().repeat_interleave(x.shape[-1] // heads)
        x = x + to("attention", "o", o_w, out)
        h = rms(x, state[f"{layer}.ffn_norm.weight"], 1e-6)
        gate_w, up_w, down_w = (base[f"{ours}.mlp.{name}_proj.weight"] for name in ("gate", "up", "down"))
        h = silu(to("feed_forward", "1", gate_w, h)) * to("feed_forward", "3", up_w, h)
        x = x + to("feed_forward", "2", down_w, h)
    return rms(x, state["llama.norm.weight"], 1e-6) @ base["lm_head.weight"].T


@pytest.mark.parametrize("published", [bias_variant, lora_variant])
def test_it_answers_as_a_plain_computation_with_the_published_weights(published: Any, tmp_path: Path) -> None:
    model, files = tiny("llama_adapter_v2", published, tmp_path / "made")
    loaded = model.load()
    prompt = named("1", "What is this?", PICTURE)
    spm = sentencepiece.SentencePieceProcessor(model_proto=sentencepiece_model())
    text = (
        "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
    )
    text += "### Instruction:\nWhat is this?\n\n### Response:"
    ids = [1, *spm.encode(text)]
    table = files["language"]["model.embed_tokens.weight"]
    with torch.inference_mode():
        pixels = model.pixels([PICTURE.load()], 56)
        image = reader(pixels, files)
        close(loaded.net.vision(pixels), image)

    def plain(new: list[int]) -> torch.Tensor:
        return logits(with_tokens(table, ids, new), image[0], files)

    check_answer(model, loaded, prompt, plain, len(ids))


def test_a_prompt_without_image_is_asked_with_a_zero_image(tmp_path: Path) -> None:
    model, files = tiny("llama_adapter_v2", bias_variant, tmp_path / "made")
    loaded = model.load()
    prompt = named("1", "What?")
    ids = model.segments(loaded.tokenizer, prompt)[0]
    with torch.inference_mode():
        image = reader(torch.zeros(1, 3, 56, 56), files)[0]
        embeds = with_tokens(files["language"]["model.embed_tokens.weight"], ids)
        close(prefill(model, loaded, prompt)[0], logits(embeds, image, files))


def test_pictures_are_shown_with_red_and_blue_swapped_and_cropped(tmp_path: Path) -> None:
    model, _ = tiny("llama_adapter_v2", bias_variant, tmp_path / "made")
    tall = np.zeros((112, 56, 3), dtype="uint8")
    tall[28:84, :, 0] = 255  # a red middle between black edges
    pixels = model.pixels([Image.fromarray(tall)], 56)[0]
    values = pixels * torch.tensor(model.STD)[:, None, None] + torch.tensor(model.MEAN)[:, None, None]
    close(values, torch.tensor([0.0, 0.0, 1.0])[:, None, None].expand(3, 56, 56))


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
