"""CogVLM as its authors' own demo runs it, with SwissArmyTransformer 0.4.12: python -m tools.originals.cogvlm.

Two kernels that need a GPU are replaced by what their libraries say they compute: xformers' attention and the rotary
kernel of SwissArmyTransformer. The weights are recorded under the names of the checkpoint on the hub.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import sys
import tempfile
import types
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from tools.originals.common import (
    CHECKOUTS,
    PICTURES,
    QUESTIONS,
    SEED,
    STEPS,
    Call,
    Recording,
    commit,
    picture,
    stub_torchvision,
    weight,
)
from tools.originals.spying import COUNTS, NEUTRAL
from tools.originals.tokens import llama_folder

TEXT: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
TEXT |= {"num_key_value_heads": 4, "vocab_size": 420}
VISION: dict[str, Any] = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 2}
VISION |= {"image_size": 56}
PATCHES = 16
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # utils/utils/vision.py:9
CASES = {"typed": (0, "typed2"), "tall": (1, "tall"), "grey": (2, "grey")}
ANSWERS = ("Sure, here it is.", "é 漢 🙂\nand more ", "one</s>", "")

# Names of SwissArmyTransformer's weights and those of the checkpoint on the hub, which loads in the same order.
LAYER = r"transformer\.layers\.(\d+)"
NAMES = [
    (r"transformer\.word_embeddings\.weight", r"model.embed_tokens.weight"),
    (r"transformer\.final_layernorm\.weight", r"model.norm.weight"),
    (r"mixins\.lm\.lm_head\.weight", r"lm_head.weight"),
    (rf"{LAYER}\.(input|post_attention)_layernorm\.weight", r"model.layers.\1.\2_layernorm.weight"),
    (rf"{LAYER}\.attention\.(query_key_value|dense)\.weight", r"model.layers.\1.self_attn.language_expert_\2.weight"),
    (rf"{LAYER}\.mlp\.dense_h_to_4h\.weight", r"model.layers.\1.mlp.language_mlp.up_proj.weight"),
    (rf"{LAYER}\.mlp\.dense_4h_to_h\.weight", r"model.layers.\1.mlp.language_mlp.down_proj.weight"),
    (r"mixins\.mlp\.gate_proj\.(\d+)\.weight", r"model.layers.\1.mlp.language_mlp.gate_proj.weight"),
    (r"mixins\.mlp\.vision_gate_proj\.(\d+)\.weight", r"model.layers.\1.mlp.vision_mlp.gate_proj.weight"),
    (r"mixins\.mlp\.vision_dense_h_to_4h_list\.(\d+)\.weight", r"model.layers.\1.mlp.vision_mlp.up_proj.weight"),
    (r"mixins\.mlp\.vision_dense_4h_to_h_list\.(\d+)\.weight", r"model.layers.\1.mlp.vision_mlp.down_proj.weight"),
    (
        r"mixins\.rotary\.vision_(query_key_value|dense)_list\.(\d+)\.weight",
        r"model.layers.\2.self_attn.vision_expert_\1.weight",
    ),
    (r"mixins\.rotary\.rotary_emb\.inv_freq", None),
    (r"mixins\.eva\.(boi|eoi)", r"model.vision.\1"),
    (r"mixins\.eva\.linear_proj\.(.*)", r"model.vision.linear_proj.\1"),
    (r"mixins\.eva\.vit_model\.transformer\.word_embeddings\.weight", r"model.vision.patch_embedding.cls_embedding"),
    (
        r"mixins\.eva\.vit_model\.transformer\.position_embeddings\.weight",
        r"model.vision.patch_embedding.position_embedding.weight",
    ),
    (r"mixins\.eva\.vit_model\.mixins\.patch_embedding\.proj\.(.*)", r"model.vision.patch_embedding.proj.\1"),
    (rf"mixins\.eva\.vit_model\.{LAYER}\.mlp\.dense_h_to_4h\.(.*)", r"model.vision.transformer.layers.\1.mlp.fc1.\2"),
    (rf"mixins\.eva\.vit_model\.{LAYER}\.mlp\.dense_4h_to_h\.(.*)", r"model.vision.transformer.layers.\1.mlp.fc2.\2"),
    (rf"mixins\.eva\.vit_model\.{LAYER}\.(.*)", r"model.vision.transformer.layers.\1.\2"),
]


def renamed(key: str) -> str | None:
    """A weight's name on the hub."""
    for pattern, name in NAMES:
        if match := re.fullmatch(pattern, key):
            return name and match.expand(name)
    raise KeyError(key)


def rotate(x: Any, cos: Any, sin: Any, position_id: Any, **_: Any) -> Any:
    """Both halves of each head turned by the angles of its position; x: [batch, heads, length, size]."""
    cos, sin = (table[position_id][:, None] for table in (cos, sin))
    first, second = x.chunk(2, dim=-1)
    x.copy_(torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1))
    return x


def attend(query: Any, key: Any, value: Any, p: float, scale: float) -> Any:
    """Attention over [batch, length, heads, size]."""
    query, key, value = (part.transpose(1, 2) for part in (query, key, value))
    return scaled_dot_product_attention(query, key, value, dropout_p=p, scale=scale).transpose(1, 2)


def open_package() -> None:
    """Make the authors' files importable."""
    stub_torchvision()
    for name, content in (
        ("sat.model.position_embedding.triton_rotary", {"apply_rotary": rotate}),
        ("seaborn", {}),  # these two draw boxes, which no answer here has
        ("jsonlines", {}),
        ("spacy", {"load": lambda _: None}),
        ("xformers.ops", {"memory_efficient_attention": attend}),
    ):
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(content, __spec__=ModuleSpec(name, None))
    sys.modules["xformers"] = types.ModuleType("xformers")
    sys.modules["xformers"].ops = sys.modules["xformers.ops"]  # type: ignore[attr-defined]
    sys.path[:0] = [str(CHECKOUTS / "sat"), str(CHECKOUTS / "CogVLM")]
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29631", "RANK": "0", "WORLD_SIZE": "1"}
    torch.distributed.init_process_group("gloo", rank=0, world_size=1)


def build() -> tuple[Any, dict[str, list[int]]]:
    """The authors' model with the weights of its names on the hub, and the shapes of those."""
    from sat import mpu
    from sat.model.mixins import CachedAutoregressiveMixin
    from utils.models import cogvlm_model

    mpu.initialize_model_parallel(1)
    whole = cogvlm_model.GLU
    cogvlm_model.GLU = lambda args, _: whole(args, VISION["hidden_size"])  # it says 1,792, the published width
    common = {"model_parallel_size": 1, "hidden_dropout": 0.0, "attention_dropout": 0.0}
    eva = common | {
        "num_layers": VISION["num_hidden_layers"],
        "hidden_size": VISION["hidden_size"],
        "num_attention_heads": VISION["num_attention_heads"],
        "inner_hidden_size": VISION["intermediate_size"],
        "vocab_size": 1,
        "layernorm_order": "post",
        "use_final_layernorm": False,
        "layernorm_epsilon": 1e-6,
        "row_parallel_linear_final_bias": False,
        "image_size": [56, 56],
        "pre_len": 1,
        "post_len": 0,
        "in_channels": 3,
        "patch_size": 14,
    }
    args = cogvlm_model.CogVLMModel.get_args(
        **common,
        num_layers=TEXT["num_hidden_layers"],
        hidden_size=TEXT["hidden_size"],
        num_attention_heads=TEXT["num_attention_heads"],
        inner_hidden_size=TEXT["intermediate_size"],
        vocab_size=TEXT["vocab_size"],
        max_sequence_length=512,
        layernorm_order="pre",
        layernorm_epsilon=1e-5,
        use_bias=False,
        image_length=PATCHES,
        eva_args=eva,
        mode="inference",
        skip_init=False,
        use_gpu_initialization=False,
        world_size=1,
        rank=0,
        local_rank=0,
        deepspeed=None,
        bf16=False,
        fp16=False,
        device="cpu",
    )
    model = cogvlm_model.CogVLMModel(args, params_dtype=torch.float32).float().eval()
    shapes: dict[str, list[int]] = {}
    for key, tensor in model.state_dict().items():
        if name := renamed(key):
            shapes[name] = list(tensor.shape)
            tensor.copy_(weight(name, tuple(tensor.shape)))
    model.add_mixin("auto-regressive", CachedAutoregressiveMixin())
    return model, shapes


def main() -> None:
    """Record."""
    open_package()
    model, shapes = build()
    from sat.generation.sampling_strategies import BaseStrategy
    from utils.utils import get_image_processor, llama2_text_processor_inference, llama2_tokenizer

    module = sys.modules["utils.utils.chat"]
    sys.modules["utils.utils.grounding_parser"].parse_response = lambda *_: None  # type: ignore[attr-defined]
    folder = llama_folder(Path(tempfile.mkdtemp()), pad_token="<unk>")  # as in vicuna-7b-v1.5
    tokenizer = llama2_tokenizer(str(folder), signal_type="chat_old")  # README.md:119
    text = llama2_text_processor_inference(tokenizer, 2048, model.image_length)
    images = get_image_processor(VISION["image_size"])
    recording = Recording("cogvlm")
    recording.about = {
        "repository": "https://github.com/THUDM/CogVLM (and SwissArmyTransformer 0.4.12)",
        "commit": commit("CogVLM"),
        "parts": {"vision": VISION, "text": TEXT},
        "files": {"model": shapes, "language": {}},
        "configs": {"model": {"rms_norm_eps": 1e-5}},
        "stop": [],
    }
    for name in PICTURES:
        small, full = (side(picture(name))["image"][0] for side in (images, get_image_processor(490)))
        recording.pixels(name, small, full, MEAN, STD)
    for name, (question, shown) in CASES.items():
        query = QUESTIONS[question]
        prompt = text.history_to_prompt(query, [])
        given = text(prompt)
        ids, visual = given["input_ids"][0].tolist(), given["image_embed_mask"][0].tolist()
        first, last = visual.index(1), len(visual) - visual[::-1].index(1)
        with torch.no_grad(), watched(model, module) as call:
            module.chat(
                None,
                model,
                text,
                images,
                query,
                image=picture(shown),
                max_length=len(ids) + STEPS,
                top_p=0.4,  # these three: basic_demo/cli_demo_sat.py:18
                top_k=1,
                temperature=0.8,
                args=argparse.Namespace(bf16=False, stream_chat=False),
            )
        parts = [ids[:first], ids[last:]]
        recording.case(name, call, question=query, picture=shown, prompt=prompt, ids=parts)
    words(recording, model, module, tokenizer)
    strategy = BaseStrategy(temperature=0.8, top_p=0.4, top_k=1, end_tokens=[tokenizer.eos_token_id])
    recording.about["arguments"] = (
        NEUTRAL
        | COUNTS
        | {
            "do_sample": strategy.topk > 1,
            "use_cache": True,
            "early_stopping": False,
            "min_new_tokens": 0,
            "ends": strategy.end_tokens,
            "max_new_tokens": None,  # what 2,048 tokens leave beside the prompt
        }
    )
    recording.about["read"] = []
    for answer in ANSWERS:
        tokens = tokenizer(answer, add_special_tokens=False).input_ids
        told = text.process_response(tokenizer.decode(tokens)).split(text.sep)[-1].strip()  # utils/utils/chat.py:144
        recording.about["read"].append({"tokens": tokens, "text": told})
    recording.save()


def words(recording: Recording, model: Any, module: Any, tokenizer: Any) -> None:
    """A question without a picture, in the words of basic_demo/cli_demo_hf.py; the model is the language's alone."""
    source = ast.parse((CHECKOUTS / "CogVLM/basic_demo/cli_demo_hf.py").read_text(encoding="utf-8"))
    (template,) = (
        node.value.value
        for node in source.body
        if isinstance(node, ast.Assign)
        and getattr(node.targets[0], "id", "") == "text_only_template"
        and isinstance(node.value, ast.Constant)
    )
    prompt = str(template).format(QUESTIONS[1])
    ids = [tokenizer.bos_token_id, *tokenizer.encode(prompt, add_special_tokens=False)]
    none = torch.zeros(1, len(ids), dtype=torch.long)
    with torch.no_grad(), watched(model, module) as call:
        module.filling_sequence(
            model,
            torch.tensor([*ids, *[-1] * STEPS]),
            batch_size=1,
            strategy=module.BaseStrategy(temperature=0.8, top_p=0.4, top_k=1, end_tokens=[tokenizer.eos_token_id]),
            vision_expert_mask=none,
            image_embed_mask=none,
        )
    recording.case("words", call, question=QUESTIONS[1], picture=None, prompt=prompt, ids=[ids])


@contextmanager
def watched(model: Any, module: Any) -> Iterator[Call]:
    """The logits and tokens of one answer; pictures stay float32, which the demo would halve."""
    call = Call()
    inner, plain = module.filling_sequence, module.torch
    whole = types.ModuleType("torch")
    whole.__dict__.update({**plain.__dict__, "float16": torch.float32})
    module.torch = whole

    def note(_: Any, __: Any, output: Any) -> None:
        call.logits.append(output[0][0, -1].detach().clone())
        call.passes.append(output[0].shape[1])

    def filling_sequence(model: Any, seq: Any, **settings: Any) -> Any:
        given = int((seq >= 0).sum())
        torch.manual_seed(SEED)
        output = inner(model, seq, **settings)
        call.tokens = output[0][0].tolist()[given:] if torch.is_tensor(output[0]) else output[0][0][given:]
        return output

    hook = model.register_forward_hook(note)
    module.filling_sequence = filling_sequence
    try:
        yield call
    finally:
        hook.remove()
        module.filling_sequence, module.torch = inner, plain


if __name__ == "__main__":
    main()
