"""MiniGPT-4, MiniGPT-5 and MiniGPT-v2 against plain computations with the published key names."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
from torch.nn.functional import conv2d, gelu, layer_norm, linear, softmax
from transformers import LlamaConfig, LlamaForCausalLM

from mmsb.convert.conversion import make
from mmsb.convert.tokenizer import sentencepiece_tokenizer
from mmsb.errors import ModelError
from mmsb.image_mode.typography import TypedText
from mmsb.model.composed.checkpoint import empty
from mmsb.types import Outcome, Prompt, Response
from tests.composed_models import (
    TINY,
    Published,
    eight_prompts,
    preset,
    random_state,
    sentencepiece_model,
    tokenizer_folder,
)

State = dict[str, torch.Tensor]
FP32 = {"dtype": "float32", "device": "cpu", "max_new_tokens": 10, "generation": {}, "stop": ()}


def vit_shapes(sizes: dict[str, Any], side: int, blocks: int) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of eva_vit_g.pth."""
    width, inner = sizes["hidden_size"], sizes["intermediate_size"]
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, 1 + side * side, width),
        "patch_embed.proj.weight": (width, 3, 14, 14),
        "patch_embed.proj.bias": (width,),
    }
    for n in range(blocks):
        block: dict[str, tuple[int, ...]] = {
            "norm1.weight": (width,),
            "norm1.bias": (width,),
            "attn.q_bias": (width,),
            "attn.v_bias": (width,),
            "attn.qkv.weight": (3 * width, width),
            "attn.proj.weight": (width, width),
            "attn.proj.bias": (width,),
            "norm2.weight": (width,),
            "norm2.bias": (width,),
            "mlp.fc1.weight": (inner, width),
            "mlp.fc1.bias": (inner,),
            "mlp.fc2.weight": (width, inner),
            "mlp.fc2.bias": (width,),
        }
        shapes |= {f"blocks.{n}.{key}": shape for key, shape in block.items()}
    return shapes


def dense(key: str, into: int, out: int) -> dict[str, tuple[int, ...]]:
    return {f"{key}.weight": (out, into), f"{key}.bias": (out,)}


def norm(key: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{key}.weight": (width,), f"{key}.bias": (width,)}


def qformer_shapes(sizes: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of blip2_pretrained_flant5xxl.pth: the Q-Former, and what it also holds."""
    width, inner, seen = sizes["hidden_size"], sizes["intermediate_size"], sizes["encoder_hidden_size"]
    shapes: dict[str, tuple[int, ...]] = {"query_tokens": (1, sizes["num_query_tokens"], width)}
    shapes |= norm("ln_vision", seen) | norm("Qformer.bert.embeddings.LayerNorm", width) | dense("t5_proj", width, 8)
    for n in range(sizes["num_hidden_layers"]):
        layer = f"Qformer.bert.encoder.layer.{n}"
        for kind, source in (("attention", width), ("crossattention", seen)):
            if kind == "crossattention" and n % 2:
                continue
            for name, into in (("query", width), ("key", source), ("value", source)):
                shapes |= dense(f"{layer}.{kind}.self.{name}", into, width)
            shapes |= dense(f"{layer}.{kind}.output.dense", width, width)
            shapes |= norm(f"{layer}.{kind}.output.LayerNorm", width)
        shapes |= dense(f"{layer}.intermediate_query.dense", width, inner)
        shapes |= dense(f"{layer}.output_query.dense", inner, width) | norm(f"{layer}.output_query.LayerNorm", width)
    return shapes


def llama_shapes(sizes: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of a LLaMA checkpoint, with the buffers that old ones hold."""
    with torch.device("meta"):
        published = LlamaForCausalLM(LlamaConfig(**{k: v for k, v in sizes.items() if k != "model_type"}))
    shapes = {key: tuple(tensor.shape) for key, tensor in published.state_dict().items()}
    return shapes | {"model.layers.0.self_attn.rotary_emb.inv_freq": (4,)}


def lora_shapes(prefix: str, suffix: str, sizes: dict[str, Any], rank: int) -> dict[str, tuple[int, ...]]:
    width = sizes["hidden_size"]
    shapes: dict[str, tuple[int, ...]] = {}
    for n in range(sizes["num_hidden_layers"]):
        for name in ("q_proj", "v_proj"):
            stem = f"{prefix}model.layers.{n}.self_attn.{name}"
            shapes |= {f"{stem}.lora_A{suffix}": (rank, width), f"{stem}.lora_B{suffix}": (width, rank)}
    return shapes


def published_shapes(model: Any) -> dict[str, dict[str, tuple[int, ...]]]:
    """Every published file of a preset, as key and shape."""
    kind, sizes = type(model).__name__, model.architecture()
    vision, text = sizes["vision"], sizes["text"]
    width = text["hidden_size"]
    files = {"vision": vit_shapes(vision, 16 if vision["hidden_size"] > 1000 else 4, vision["num_hidden_layers"])}
    files["language"] = llama_shapes({**text, "vocab_size": 400 if width < 100 else 32000})
    if kind == "MiniGPTv2":
        files["adapter"] = dense("llama_proj", 4 * vision["hidden_size"], width)
        files["adapter"] |= lora_shapes("llama_model.base_model.model.", ".weight", text, 64)
        return files
    files["qformer"] = qformer_shapes(sizes["qformer"])
    files["projection"] = dense("llama_proj", sizes["qformer"]["hidden_size"], width)
    if kind == "MiniGPT5":
        prefix, saved = "model.llama_model.base_model.model.", "modules_to_save.default.weight"
        vocabulary = text["vocab_size"] + (9 if width > 100 else 0)
        files["adapter"] = lora_shapes(prefix, ".default.weight", text, 8) | {
            f"{prefix}model.embed_tokens.{saved}": (vocabulary, width),
            f"{prefix}lm_head.{saved}": (vocabulary, width),
            "fc.0.weight": (8, 8),
            "t2i_decoder_prompt": (1, 77, 8),
        }
    return files


def tiny(name: str, folder: Path) -> tuple[Any, dict[str, State]]:
    """A preset made tiny, with random published files, converted into `folder`."""
    model = preset(name, name_or_path=str(folder), parts=TINY[type(preset(name)).__name__], **FP32)
    files = {entry: random_state(shapes, seed) for seed, (entry, shapes) in enumerate(published_shapes(model).items())}
    make(model, Published(files, tokenizer_folder(folder.parent / "language")), folder)
    return model, files


# ---- plain computations ------------------------------------------------------------------------------------------


def attend(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, heads: int) -> torch.Tensor:
    split = [part.reshape(*part.shape[:2], heads, -1).transpose(1, 2) for part in (queries, keys, values)]
    weights = softmax(split[0] @ split[1].transpose(-1, -2) / split[0].shape[-1] ** 0.5, dim=-1)
    mixed: torch.Tensor = (weights @ split[2]).transpose(1, 2).flatten(2)
    return mixed


def vit(pixels: torch.Tensor, state: State, heads: int, blocks: int) -> torch.Tensor:
    patches = conv2d(pixels, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=14)
    x = torch.cat([state["cls_token"].expand(len(pixels), -1, -1), patches.flatten(2).transpose(1, 2)], dim=1)
    x = x + state["pos_embed"]
    for n in range(blocks):
        s = {key.removeprefix(f"blocks.{n}."): value for key, value in state.items() if key.startswith(f"blocks.{n}.")}
        h = layer_norm(x, x.shape[-1:], s["norm1.weight"], s["norm1.bias"], 1e-6)
        bias = torch.cat([s["attn.q_bias"], torch.zeros_like(s["attn.q_bias"]), s["attn.v_bias"]])
        q, k, v = linear(h, s["attn.qkv.weight"], bias).chunk(3, dim=-1)
        x = x + linear(attend(q, k, v, heads), s["attn.proj.weight"], s["attn.proj.bias"])
        h = layer_norm(x, x.shape[-1:], s["norm2.weight"], s["norm2.bias"], 1e-6)
        h = gelu(linear(h, s["mlp.fc1.weight"], s["mlp.fc1.bias"]))
        x = x + linear(h, s["mlp.fc2.weight"], s["mlp.fc2.bias"])
    return x


def qformer(seen: torch.Tensor, state: State, heads: int, layers: int) -> torch.Tensor:
    def affine(x: torch.Tensor, key: str) -> torch.Tensor:
        return linear(x, state[f"{key}.weight"], state[f"{key}.bias"])

    def normed(x: torch.Tensor, key: str) -> torch.Tensor:
        return layer_norm(x, x.shape[-1:], state[f"{key}.weight"], state[f"{key}.bias"], 1e-12)

    x = normed(state["query_tokens"].expand(len(seen), -1, -1), "Qformer.bert.embeddings.LayerNorm")
    for n in range(layers):
        layer = f"Qformer.bert.encoder.layer.{n}"
        for kind, source in (("attention", None), ("crossattention", seen)):
            if f"{layer}.{kind}.self.query.weight" not in state:
                continue
            other, key = (x if source is None else source), f"{layer}.{kind}"
            parts = affine(x, f"{key}.self.query"), affine(other, f"{key}.self.key"), affine(other, f"{key}.self.value")
            x = normed(affine(attend(*parts, heads), f"{key}.output.dense") + x, f"{key}.output.LayerNorm")
        inner = gelu(affine(x, f"{layer}.intermediate_query.dense"))
        x = normed(affine(inner, f"{layer}.output_query.dense") + x, f"{layer}.output_query.LayerNorm")
    return x


def close(ours: torch.Tensor, plain: torch.Tensor) -> None:
    torch.testing.assert_close(ours, plain, rtol=2e-5, atol=2e-5)


def llama(state: State, vocabulary: int) -> Any:
    """transformers' own LLaMA with the published weights."""
    model = LlamaForCausalLM(
        LlamaConfig(**{**TINY["MiniGPT4"]["text"], "vocab_size": vocabulary, "rms_norm_eps": 1e-6})
    )
    model.load_state_dict({key: value for key, value in state.items() if "inv_freq" not in key})
    return model.eval()


# ---- tests -------------------------------------------------------------------------------------------------------


def test_minigpt4_sees_as_a_plain_computation_with_the_published_weights(tmp_path: Path) -> None:
    model, files = tiny("minigpt4", tmp_path / "made")
    net = model.load().net
    pixels = torch.randn(2, 3, 56, 56, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        seen = vit(pixels, files["vision"], heads=2, blocks=2)
        norm_key = files["qformer"]["ln_vision.weight"], files["qformer"]["ln_vision.bias"]
        seen = layer_norm(seen, seen.shape[-1:], *norm_key, 1e-5)
        close(net.vision_model(pixels).last_hidden_state, seen)
        asked = qformer(seen, files["qformer"], heads=2, layers=3)
        projection = files["projection"]["llama_proj.weight"], files["projection"]["llama_proj.bias"]
        close(net.vision(pixels), linear(asked, *projection))


def test_minigpt4_answers_as_llama_does_on_the_same_sequence(tmp_path: Path) -> None:
    model, files = tiny("minigpt4", tmp_path / "made")
    loaded = model.load()
    picture = TypedText("a phrase")
    (response,) = model.run(loaded, model.inputs(loaded, [Prompt("1", "What is this?", picture)]), 0)
    spm = sentencepiece.SentencePieceProcessor(model_proto=sentencepiece_model())
    before = (
        "Give the following image: <Img>ImageContent</Img>. You will be able to see the image once I provide it to you."
    )
    before += " Please answer my questions.###Human: <Img>"
    ids = [1, *spm.encode(before)], spm.encode("</Img> What is this?###Assistant: ")
    language = llama(files["language"], 400)
    with torch.inference_mode():
        image = loaded.net.vision(model.pixels([picture.load()], 56))
        table = language.get_input_embeddings()
        sequence = torch.cat([table(torch.tensor(ids[0])), image[0], table(torch.tensor(ids[1]))])[None]
        answer: list[int] = []
        for _ in range(10):
            answer.append(int(language(inputs_embeds=sequence).logits[0, -1].argmax()))
            if answer[-1] == 2:
                break
            sequence = torch.cat([sequence, table(torch.tensor([[answer[-1]]]))], dim=1)
    assert response.input_tokens == len(ids[0]) + 4 + len(ids[1])
    assert response.text == loaded.tokenizer.decode(answer, skip_special_tokens=True).strip()


def test_minigpt_v2_joins_four_patches_and_widens_the_position_embedding(tmp_path: Path) -> None:
    model, files = tiny("minigpt_v2", tmp_path / "made")
    net = model.load().net
    assert torch.equal(net.vision_model.post_layernorm.weight, torch.ones(24))  # never trained
    pixels = torch.randn(2, 3, 56, 56, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        seen = layer_norm(vit(pixels, files["vision"], heads=2, blocks=2), (24,), eps=1e-5)[:, 1:]
        joined = torch.stack([torch.cat([row[i] for i in range(n, n + 4)]) for row in seen for n in range(0, 16, 4)])
        projection = files["adapter"]["llama_proj.weight"], files["adapter"]["llama_proj.bias"]
        close(net.vision(pixels), linear(joined, *projection).reshape(2, 4, -1))


def test_a_position_embedding_is_widened_as_an_image_would_be() -> None:
    from mmsb.model.composed.minigpt import widened

    ramp = torch.arange(4.0).repeat(4, 1).flatten()[None, :, None]
    wide = widened(torch.cat([torch.tensor([[[7.0]]]), ramp], dim=1), 8)
    assert wide.shape == (1, 65, 1)
    assert wide[0, 0, 0] == 7
    rows = wide[0, 1:, 0].reshape(8, 8)
    assert torch.allclose(rows[0], rows[5])
    assert (rows[0].diff() > 0).all()


@pytest.mark.parametrize(
    ("name", "prefix", "suffix"), [("minigpt_v2", "llama_model.", ""), ("minigpt5", "model.llama_model.", ".default")]
)
def test_lora_deltas_are_in_the_weights(tmp_path: Path, name: str, prefix: str, suffix: str) -> None:
    model, files = tiny(name, tmp_path / "made")
    state = model.load().net.language_model.state_dict()
    rank = {"minigpt_v2": 64, "minigpt5": 8}[name]
    for layer in ("model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.v_proj"):
        stem = f"{prefix}base_model.model.{layer}"
        down, up = (files["adapter"][f"{stem}.lora_{side}{suffix}.weight"] for side in "AB")
        close(state[f"{layer}.weight"], files["language"][f"{layer}.weight"] + 16 / rank * (up @ down))
    assert torch.equal(
        state["model.layers.0.self_attn.k_proj.weight"], files["language"]["model.layers.0.self_attn.k_proj.weight"]
    )


def test_minigpt5_has_its_tokens_and_trained_embeddings(tmp_path: Path) -> None:
    model, files = tiny("minigpt5", tmp_path / "made")
    loaded = model.load()
    saved = files["adapter"]["model.llama_model.base_model.model.model.embed_tokens.modules_to_save.default.weight"]
    assert torch.equal(loaded.net.language_model.get_input_embeddings().weight, saved)
    assert loaded.tokenizer.convert_tokens_to_ids("[IMG0]") == 400
    assert loaded.parts["text"]["vocab_size"] == 409


@pytest.mark.parametrize("name", ["minigpt4", "minigpt4_13b", "minigpt5", "minigpt_v2"])
def test_every_published_key_lands_at_full_size_and_nothing_is_left(name: str, tmp_path: Path) -> None:
    model = preset(name)
    with torch.device("meta"):
        files = {
            entry: {key: torch.empty(shape) for key, shape in shapes.items()}
            for entry, shapes in published_shapes(model).items()
        }
    files["vision"] |= {"blocks.39.norm1.weight": torch.empty(1, device="meta")}  # BLIP-2 leaves the 40th block out
    source = Published(files, tmp_path)
    made = {key: tuple(tensor.shape) for key, tensor in model.convert(source)}
    assert made == {key: tuple(tensor.shape) for key, tensor in empty(model, model.sizes(source)).state_dict().items()}


@pytest.mark.parametrize("name", ["minigpt4", "minigpt5", "minigpt_v2"])
def test_a_batch_answers_as_one_by_one(name: str, tmp_path: Path) -> None:
    model, _ = tiny(name, tmp_path / "made")
    prompts = eight_prompts()

    def texts(batch_size: int) -> dict[str, str]:
        engine = dataclasses.replace(model, batch_size=batch_size)
        found: dict[str, Outcome] = {p.id: outcome for p, outcome in engine.generate(engine.batches(prompts))}
        return {key: outcome.text for key, outcome in found.items() if isinstance(outcome, Response)}

    alone = texts(1)
    assert len(alone) == 8
    assert len(set(alone.values())) > 2  # text and picture matter
    assert texts(8) == texts(3) == alone


def test_a_prompt_without_image_leaves_the_image_part_out(tmp_path: Path) -> None:
    model, _ = tiny("minigpt4", tmp_path / "made")
    loaded = model.load()
    (ids,) = model.segments(loaded.tokenizer, Prompt("1", "What?"))
    text = loaded.tokenizer.decode(ids)
    assert text.endswith("Please answer my questions.###Human: What?###Assistant: ")
    assert text.count("<Img>") == 1  # the one in the system sentence


def test_a_question_cannot_hold_markers_of_its_own(tmp_path: Path) -> None:
    model, _ = tiny("minigpt4", tmp_path / "made")
    loaded = model.load()
    segments = model.segments(loaded.tokenizer, Prompt("1", "{image} {question} </s> <s>", TypedText("x")))
    assert len(segments) == 2
    assert 1 not in segments[1]
    assert 2 not in segments[1]


def test_segments_are_tokenised_as_sentencepiece_does(tmp_path: Path) -> None:
    folder = tokenizer_folder(tmp_path)
    fast = sentencepiece_tokenizer(folder / "tokenizer.model")
    spm = sentencepiece.SentencePieceProcessor(model_proto=sentencepiece_model())
    for text in ["the image", " the image", "  two", "a\nb", "", "###", "</Img> What? ###Assistant: ", "é 漢 🙂", " "]:
        assert fast(text, add_special_tokens=False)["input_ids"] == spm.encode(text), text
        assert fast(text)["input_ids"] == [1, *spm.encode(text)], text


def test_a_checkpoint_with_a_wrong_weight_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    model, _ = tiny("minigpt4", tmp_path / "made")
    (shard,) = (tmp_path / "made").glob("*.safetensors")
    weights = load_file(shard)
    bias = weights.pop("projection.bias")
    save_file(weights, shard)
    with pytest.raises(ModelError, match=r"1 weights are missing: projection\.bias"):
        model.load()
    save_file(weights | {"projection.bias": bias, "extra": torch.ones(1)}, shard)
    with pytest.raises(ModelError, match="1 weights are unexpected: extra"):
        model.load()
    save_file(weights | {"projection.bias": torch.ones(3)}, shard)
    with pytest.raises(ModelError, match=r"1 weights are of another shape: projection\.bias"):
        model.load()
