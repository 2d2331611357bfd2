"""MiniGPT-4, MiniGPT-5 and MiniGPT-v2: published keys at full size, prompts, checkpoints that do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from mmsb.convert.conversion import make
from mmsb.convert.tokenizer import sentencepiece_tokenizer
from mmsb.errors import ModelError
from mmsb.image_mode.typography import TypedText
from mmsb.model.composed.checkpoint import empty
from tests.asking import named
from tests.composed_models import (
    TINY,
    Published,
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


# ---- tests -------------------------------------------------------------------------------------------------------


def test_a_position_embedding_is_widened_as_an_image_would_be() -> None:
    from mmsb.model.composed.minigpt import widened

    ramp = torch.arange(4.0).repeat(4, 1).flatten()[None, :, None]
    wide = widened(torch.cat([torch.tensor([[[7.0]]]), ramp], dim=1), 8)
    assert wide.shape == (1, 65, 1)
    assert wide[0, 0, 0] == 7
    rows = wide[0, 1:, 0].reshape(8, 8)
    assert torch.allclose(rows[0], rows[5])
    assert (rows[0].diff() > 0).all()


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


def test_a_prompt_without_image_leaves_the_image_part_out(tmp_path: Path) -> None:
    model, _ = tiny("minigpt4", tmp_path / "made")
    loaded = model.load()
    (ids,) = model.segments(loaded.tokenizer, named("1", "What?"))
    text = loaded.tokenizer.decode(ids)
    assert text.endswith("Please answer my questions.###Human: What?###Assistant: ")
    assert text.count("<Img>") == 1  # the one in the system sentence


def test_a_question_cannot_hold_markers_of_its_own(tmp_path: Path) -> None:
    model, _ = tiny("minigpt4", tmp_path / "made")
    loaded = model.load()
    segments = model.segments(loaded.tokenizer, named("1", "{image} {question} </s> <s>", TypedText("x")))
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
    bias = weights.pop("language_projection.bias")
    save_file(weights, shard)
    with pytest.raises(ModelError, match=r"1 weights are missing: language_projection\.bias"):
        model.load()
    save_file(weights | {"language_projection.bias": bias, "extra": torch.ones(1)}, shard)
    with pytest.raises(ModelError, match="1 weights are unexpected: extra"):
        model.load()
    save_file(weights | {"language_projection.bias": torch.ones(3)}, shard)
    with pytest.raises(ModelError, match=r"1 weights are of another shape: language_projection\.bias"):
        model.load()


def test_tokens_that_follow_a_drawing_are_not_punished_and_those_that_were_chosen_are() -> None:
    from mmsb.model.composed.minigpt_net import Drawing

    drawing = Drawing(range(10, 18), penalty=2.0)
    scores = torch.tensor([[1.0] * 9 + [-4.0] * 11] * 3)  # as `generate` hands them over: repeated ones punished
    ids = torch.tensor([[*range(10, 18), 5], [12, 5, 5, 5, 5, 5, 5, 5, 5], [5, 5, 5, 5, 5, 5, 5, 5, 10]])
    followed, chosen, begun = drawing(ids, scores)
    assert followed[10] == -4  # the first was chosen
    assert followed[11:18].tolist() == [-2.0] * 7
    assert chosen.tolist() == scores[1].tolist()
    assert begun.argmax() == 11
    assert (begun.isinf()).sum() == 19
