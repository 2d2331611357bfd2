"""Plain computations that composed models are held against: no fused attention, no cache, no padding, one row."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import conv2d, layer_norm, linear, silu, softmax

from mmsb.convert.conversion import make
from mmsb.model.composed.checkpoint import empty
from mmsb.types import Prompt, Response
from tests.asking import generated
from tests.composed_models import TINY, Published, eight_prompts, preset, random_state, tokenizer_folder

State = dict[str, torch.Tensor]
Shapes = dict[str, tuple[int, ...]]
Project = Callable[[int, str, torch.Tensor], torch.Tensor]
FP32 = {"dtype": "float32", "device": "cpu", "max_new_tokens": 10, "generation": {}, "stop": (), "card": None}


# ---- published files ---------------------------------------------------------------------------------------------


def dense_shapes(key: str, into: int, out: int, bias: bool = True) -> Shapes:
    return {f"{key}.weight": (out, into)} | ({f"{key}.bias": (out,)} if bias else {})


def norm_shapes(key: str, width: int) -> Shapes:
    return {f"{key}.weight": (width,), f"{key}.bias": (width,)}


def clip_shapes(sizes: dict[str, Any], prefix: str) -> Shapes:
    """Keys and shapes of a CLIP vision tower of transformers, with the buffer that old checkpoints hold."""
    width, inner = sizes["hidden_size"], sizes["intermediate_size"]
    patch, places = sizes["patch_size"], (sizes["image_size"] // sizes["patch_size"]) ** 2 + 1
    shapes: Shapes = {
        f"{prefix}embeddings.class_embedding": (width,),
        f"{prefix}embeddings.position_ids": (1, places),
        f"{prefix}embeddings.patch_embedding.weight": (width, 3, patch, patch),
        f"{prefix}embeddings.position_embedding.weight": (places, width),
        **norm_shapes(f"{prefix}pre_layrnorm", width),
        **norm_shapes(f"{prefix}post_layernorm", width),
    }
    for n in range(sizes["num_hidden_layers"]):
        layer = f"{prefix}encoder.layers.{n}"
        for name in "qkv":
            shapes |= dense_shapes(f"{layer}.self_attn.{name}_proj", width, width)
        shapes |= dense_shapes(f"{layer}.self_attn.out_proj", width, width)
        shapes |= dense_shapes(f"{layer}.mlp.fc1", width, inner) | dense_shapes(f"{layer}.mlp.fc2", inner, width)
        shapes |= norm_shapes(f"{layer}.layer_norm1", width) | norm_shapes(f"{layer}.layer_norm2", width)
    return shapes


def llama_shapes(sizes: dict[str, Any], prefix: str = "") -> Shapes:
    """Keys and shapes of a LLaMA checkpoint of transformers, with the buffers that old ones hold."""
    width, inner = sizes["hidden_size"], sizes["intermediate_size"]
    shapes: Shapes = {
        f"{prefix}model.embed_tokens.weight": (sizes["vocab_size"], width),
        f"{prefix}model.norm.weight": (width,),
        f"{prefix}lm_head.weight": (sizes["vocab_size"], width),
    }
    for n in range(sizes["num_hidden_layers"]):
        layer = f"{prefix}model.layers.{n}"
        for name in "qkvo":
            shapes |= dense_shapes(f"{layer}.self_attn.{name}_proj", width, width, bias=False)
        shapes |= {f"{layer}.mlp.{name}_proj.weight": (inner, width) for name in ("gate", "up")}
        shapes |= {
            f"{layer}.mlp.down_proj.weight": (width, inner),
            f"{layer}.input_layernorm.weight": (width,),
            f"{layer}.post_attention_layernorm.weight": (width,),
            f"{layer}.self_attn.rotary_emb.inv_freq": (width // sizes["num_attention_heads"] // 2,),
        }
    return shapes


def tiny(
    name: str, shapes: Callable[[dict[str, Any]], dict[str, Shapes]], folder: Path
) -> tuple[Any, dict[str, State]]:
    """A preset made tiny, with random published files, converted into `folder`."""
    model = preset(name, name_or_path=str(folder), parts=TINY[type(preset(name)).__name__], **FP32)
    published = shapes(model.architecture())
    files = {entry: random_state(held, seed) for seed, (entry, held) in enumerate(published.items())}
    make(model, Published(files, tokenizer_folder(folder.parent / "language")), folder)
    return model, files


def check_full_size(name: str, shapes: Callable[[dict[str, Any]], dict[str, Shapes]], folder: Path) -> Any:
    """Every published key of a preset lands in the graph with its shape; nothing is left over or missing."""
    model = preset(name)
    with torch.device("meta"):
        published = shapes(model.architecture())
        files = {entry: {key: torch.empty(shape) for key, shape in held.items()} for entry, held in published.items()}
    source = Published(files, tokenizer_folder(folder))
    converted = list(model.convert(source))
    made = {key: tuple(tensor.shape) for key, tensor in converted}
    assert len(made) == len(converted)
    net = empty(model, model.sizes(source))
    tied = set(getattr(net.language_model, "all_tied_weights_keys", {}))
    wanted = {key: tuple(tensor.shape) for key, tensor in net.state_dict().items()}
    missing = {key for key in wanted if key not in made}
    assert missing == {f"language_model.{key}" for key in tied}
    assert {key: shape for key, shape in wanted.items() if key not in missing} == made
    return net


# ---- parts -------------------------------------------------------------------------------------------------------


def close(ours: torch.Tensor, plain: torch.Tensor) -> None:
    torch.testing.assert_close(ours, plain, rtol=5e-5, atol=5e-5)


def dense(x: torch.Tensor, state: State, key: str) -> torch.Tensor:
    return linear(x, state[f"{key}.weight"], state.get(f"{key}.bias"))


def norm(x: torch.Tensor, state: State, key: str, eps: float = 1e-5) -> torch.Tensor:
    return layer_norm(x, x.shape[-1:], state[f"{key}.weight"], state[f"{key}.bias"], eps)


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int) -> torch.Tensor:
    """[..., length, heads * size] each, head after head."""
    size = q.shape[-1] // heads
    rows = []
    for h in range(heads):
        part = slice(h * size, (h + 1) * size)
        weights = softmax(q[..., part] @ k[..., part].transpose(-1, -2) / size**0.5, dim=-1)
        rows.append(weights @ v[..., part])
    return torch.cat(rows, dim=-1)


def clip(pixels: torch.Tensor, state: State, prefix: str, sizes: dict[str, Any]) -> torch.Tensor:
    """All tokens of a CLIP tower, before its last norm."""
    eps = sizes["layer_norm_eps"]
    patches = conv2d(pixels, state[f"{prefix}embeddings.patch_embedding.weight"], stride=sizes["patch_size"])
    token = state[f"{prefix}embeddings.class_embedding"].expand(len(pixels), 1, -1)
    x = torch.cat([token, patches.flatten(2).transpose(1, 2)], dim=1)
    x = norm(x + state[f"{prefix}embeddings.position_embedding.weight"], state, f"{prefix}pre_layrnorm", eps)
    for n in range(sizes["num_hidden_layers"]):
        layer = f"{prefix}encoder.layers.{n}"
        h = norm(x, state, f"{layer}.layer_norm1", eps)
        q, k, v = (dense(h, state, f"{layer}.self_attn.{name}_proj") for name in "qkv")
        x = x + dense(attend(q, k, v, sizes["num_attention_heads"]), state, f"{layer}.self_attn.out_proj")
        h = dense(norm(x, state, f"{layer}.layer_norm2", eps), state, f"{layer}.mlp.fc1")
        x = x + dense(h * torch.sigmoid(1.702 * h), state, f"{layer}.mlp.fc2")
    return x


def rms(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    return x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt() * weight


def turned(x: torch.Tensor, positions: torch.Tensor, heads: int) -> torch.Tensor:
    """Rotary positions in transformers' order: pairs stand half a head apart. [length, heads * size]."""
    size = x.shape[-1] // heads
    angles = positions[:, None] / 10000 ** (torch.arange(0, size, 2) / size)
    by_head = x.view(len(x), heads, 2, size // 2)
    first, second, cos, sin = by_head[:, :, 0], by_head[:, :, 1], angles.cos()[:, None], angles.sin()[:, None]
    return torch.stack([first * cos - second * sin, second * cos + first * sin], dim=2).flatten(1)


def causal(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int) -> torch.Tensor:
    """Each token attends to itself and those before it. [length, heads * size] each."""
    return torch.stack([attend(q[at : at + 1], k[: at + 1], v[: at + 1], heads)[0] for at in range(len(q))])


def decoder(
    x: torch.Tensor, positions: torch.Tensor, sizes: dict[str, Any], norms: Callable[[str], torch.Tensor], to: Project
) -> torch.Tensor:
    """A LLaMA decoder on one row [length, width]: logits of every position.

    `norms` gives a norm's weight by transformers' key; `to(layer, name, x)` applies the linear layer q, k, v, o, gate,
    up or down.
    """
    heads, eps = sizes["num_attention_heads"], sizes["rms_norm_eps"]
    for n in range(sizes["num_hidden_layers"]):
        h = rms(x, norms(f"layers.{n}.input_layernorm"), eps)
        q, k, v = (to(n, name, h) for name in "qkv")
        attended = causal(turned(q, positions, heads), turned(k, positions, heads), v, heads)
        x = x + to(n, "o", attended)
        h = rms(x, norms(f"layers.{n}.post_attention_layernorm"), eps)
        x = x + to(n, "down", silu(to(n, "gate", h)) * to(n, "up", h))
    return rms(x, norms("norm"), eps)


# ---- composed models as a whole ------------------------------------------------------------------------------------


def prefill(model: Any, loaded: Any, *prompts: Prompt) -> torch.Tensor:
    """The composed model's logits [prompts, length, vocabulary]."""
    with torch.inference_mode():
        inputs = model.embed(loaded, model.inputs(loaded, prompts))
        with model.generating(loaded.net, inputs) as further:
            further.pop("input_ids", None)
            further.pop("logits_processor", None)
            net, mask = loaded.net.language_model, inputs.mask
            if "position_ids" in net.forward.__annotations__:
                further = {"position_ids": (mask.cumsum(dim=1) - 1).clamp(min=0), **further}
            output = net(inputs_embeds=inputs.embeds, attention_mask=mask, **further)
    logits: torch.Tensor = output.logits
    return logits


def check_answer(
    model: Any, loaded: Any, prompt: Prompt, plain: Callable[[list[int]], torch.Tensor], length: int
) -> None:
    """A prompt's greedy answer, token by token, is that of the plain computation on the sequence so far.

    Args:
        model: the composed model.
        loaded: the same, loaded.
        prompt: what it is asked.
        plain: logits [length, vocabulary] of the prompt and these further tokens.
        length: tokens of the prompt, those of the image included.
    """
    close(prefill(model, loaded, prompt)[0], plain([]))
    with torch.inference_mode():
        inputs = model.embed(loaded, model.inputs(loaded, [prompt]))
        with model.generating(loaded.net, inputs) as further:
            made = loaded.net.language_model.generate(
                inputs_embeds=inputs.embeds,
                attention_mask=inputs.mask,
                pad_token_id=loaded.tokenizer.pad_token_id,
                eos_token_id=model._ends(loaded.tokenizer),
                do_sample=False,
                max_new_tokens=model.max_new_tokens,
                output_logits=True,
                return_dict_in_generate=True,
                **further,
            )
    answer = made.sequences[0, -len(made.logits) :].tolist()
    assert len(answer) > 3
    for at, logits in enumerate(made.logits):
        expected = plain(answer[:at])[-1]
        close(logits[0], expected)
        assert answer[at] == int(expected.argmax())
    (response,) = model.run(loaded, model.inputs(loaded, [prompt]), 0)
    assert response.text == loaded.tokenizer.decode(answer, skip_special_tokens=True).strip()
    assert (response.input_tokens, response.output_tokens) == (length, len(answer))


def check_batches(model: Any) -> None:
    """Four prompts, two without an image, are answered in batches as they are alone, and not all alike."""
    prompts = [eight_prompts()[number] for number in (0, 1, 3, 6)]
    assert {prompt.image is None for prompt in prompts} == {True, False}
    loaded = model.load()
    alone = torch.stack([prefill(model, loaded, prompt)[0, -1] for prompt in prompts])
    close(prefill(model, loaded, *prompts)[:, -1], alone)
    assert all(float((one - other).abs().max()) > 1e-3 for one, other in combinations(alone, 2))
    answers = [model.run(loaded, model.inputs(loaded, [prompt]), 0)[0].text for prompt in prompts]
    assert len(set(answers)) > 1
    assert [response.text for response in model.run(loaded, model.inputs(loaded, prompts), 0)] == answers
    engine = dataclasses.replace(model, batch_size=3)
    found = generated(engine, prompts)
    planned = [found[prompt.id] for prompt in prompts]
    assert [outcome.text for outcome in planned if isinstance(outcome, Response)] == answers
