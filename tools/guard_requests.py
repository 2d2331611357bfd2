"""What each guard sends, as bytes, in this process and at an endpoint, side by side: docs/guards.md.

    python -m tools.guard_requests docs/guards.md

Every guard of conf/judge is built twice, as its option makes it and with `model@judge.model=vllm`, and asked about one
harmless exchange. The endpoint's side is the body of the request as it leaves; this process's side is the text, or the
turns, that reach the checkpoint's tokenizer. Below stands what a server on this machine received, request by request,
from a model behind `input_guard` and `output_guard`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

from hydra import compose, initialize_config_dir

from mmsb.config import build
from mmsb.defense.base import defended
from mmsb.defense.guard import Guard as Guarding
from mmsb.driver import Driver
from mmsb.faults.server import ChatServer
from mmsb.judge.base import ANY_HARM, Answer
from mmsb.judge.guard import Guard
from mmsb.model.openai import OpenAI
from mmsb.paths import PACKAGE, conf_dir
from mmsb.picture import BytesPicture
from mmsb.store import Store
from mmsb.types import Outcome, Prompt, Response

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4//8/AAX+Av4N70a4AAAAAElFTkSuQmCC"
PICTURE = BytesPicture(base64.b64decode(PIXEL), "pixel.png")
ASKED, ANSWERED = "Q?", "A."
CHECKERS = (None, "llama_guard_4")
HUB = "huggingface/huggingface.js at fe42e68"
# What each was held against, and what came of it. The copies are not here; `tests/test_judge_guard_requests.py` has the
# digests of their renderings.
HELD = {
    "granite_guardian": (
        "cookbooks/granite-guardian-4.1 of ibm-granite/granite-guardian at a409be8",
        "the last turn equal; behind vLLM 0.25.1 the model answered such turns in the form that is read "
        "(testplan/guards of MvdB/dgx-spark-vllm at aec18b8); of chat templates only 3.3's was at hand "
        "(resources/ollama of ibm-granite/gguf at f509c99)",
    ),
    "guardreasoner_omni": (
        "src/generate.py, src/template.py of zzh-thu-22/GuardReasoner-Omni at e2b7a6c",
        "equal by reading",
    ),
    "guardreasoner_vl": (
        "public code that evaluates the model: its instruction, and the user's turn with `<image>` in its place",
        "equal to three copies; a fourth ends the user's turn with one more newline; the authors' own was not at hand",
    ),
    "harmbench": (
        "public code that runs the classifier",
        "equal, digest of the rendering; code that evaluates HarmBench by other models has other rules in it",
    ),
    "harmbench_multimodal": ("public code that runs the classifier", "equal, digest of the rendering"),
    "llama_guard_3": (
        f"the chat template of llama-guard3:8b in packages/ollama-utils of {HUB} (template 5a5561f4)",
        "equal but for one blank before the copy's first token",
    ),
    "llama_guard_3_vision": (
        f"the chat template in packages/jinja/test/e2e.test.js of {HUB} (template df3965ba)",
        "it reads these turns; rendered with them d6249df3 (request) and b4520641 (answer)",
    ),
    "llama_guard_4": (
        "its model card (PurpleLlama at f45e4ad), in words; server/model_runner.py of noahwo/llm-moderation at 2b3f1c2",
        "turns equal to that server's, which says that the template writes a picture only beside a text in its turn: "
        "there always is one; the template itself was not at hand",
    ),
    "llavaguard": (
        "scripts/inference/sglang.ipynb of ml-research/LlavaGuard at 840699c",
        "the request equal, digest of the policy; tranformers.ipynb beside it begins without the newline",
    ),
    "nemotron_safety": (
        "its model card: picture, text, answer, `request_categories`; examples/configs/nemotron-3.5-content-safety of "
        "NVIDIA/NeMo-Guardrails at 6f3ae0e",
        "equal: a user's turn, then the answer's, no system turn; the template's defaults are no thinking and no "
        "categories. NVIDIA's page on its NIM has the picture behind the text; the template itself was not at hand",
    ),
    "qwen3guard": (
        "the chat template of Qwen3Guard-Gen as its GGUF file holds it, in public code that pins it (5a2916bc)",
        "equal, digest of the rendering",
    ),
    "shieldstral": (
        "its model card as six public copies repeat it; examples/shieldstral/README.md of axolotl-ai-cloud/axolotl",
        "equal, text and picture; of requests alone the wording is ours",
    ),
    "singguard": (
        "README and technical report, appendix A, of inclusionAI/Sing-Guard at 69df570",
        "turns equal; the model answered them in the form that is read behind vLLM 0.25.1 (testplan/guards of "
        "MvdB/dgx-spark-vllm at aec18b8); its chat template was not at hand",
    ),
    "shieldgemma": (
        f"text-generation-inference's router/src/infer/chat_template.rs; shieldgemma:27b in {HUB} (template 19acd333)",
        "equal to both, digest of the rendering",
    ),
    "shieldgemma_2": (
        "transformers' processing_shieldgemma2.py, and the template in its conversion script at 15ea02a",
        "policies equal, probabilities equal on random weights",
    ),
    "wildguard": ("wildguard/utils.py of allenai/wildguard", "equal, digest of the rendering"),
}
HEAD = """# What guards send

Written by `python -m tools.guard_requests docs/guards.md`: every guard asked about one
exchange ("Q?", "A.") or, where it sees pictures alone, one picture. *Here* is the text, or the turns, that reach the
checkpoint's tokenizer in this process; *there* is the request's body at an endpoint. SHA-256, first 16 digits, of what
the model is shown.

| guard | there | bytes | here | there | the same | held against | result |
|---|---|---|---|---|---|---|---|
"""
PUBLISHED = """
## Published numbers
In percent, each on sets that its source chose: they say what to expect of a guard, not which of two is better. Of
LlavaGuard and ShieldGemma 2 no table was at hand that could be checked.

| guard | measure | value | source |
|---|---|---|---|
"""
RECEIVED = """
## What a server received behind a guard

Recorded by a server on this machine that was asked "Q?" with one white pixel and answered "A.": the bodies in the order
in which they came. A check is shown what the user sent, or the answer, never the benchmark's question in plain words.
Where it says yes, `input_guard` sends no more than its first body.
"""
TAIL = """
Left out, because nothing that could be read says what they are to be sent, because their verdict is no text or of
something else, or because their weights load in neither transformers nor vLLM: GuardTrace-VL (2511.20994; rates the
thinking and the answer as one), VisionGuardrail and ImageShield (prithivMLmods; nudity in pictures), ProGuard (arXiv
2512.23573), OmniVL-Guard (2602.10687), SafeGuard-VL (2603.01228; pictures alone, its policy is the user's),
SafeAtlas-Guard (2608.29098; heads beside the language model), OmniGuard (published without its authors), LLaVAShield
(RealSafe/LLaVAShield-v1.0-7B).

## Bodies
The picture is one white pixel; its bytes are left out below.
"""


def guard(name: str, *overrides: str) -> Guard:
    """A guard as its option makes it."""
    return build(compose("config", [f"judge={name}", *overrides]).judge, Guard)


def here(judge: Guard, prompt: Prompt) -> Any:
    """What reaches the tokenizer in this process; None where the option has no model for it."""
    if prompt.how and prompt.how.whole:
        return prompt.text
    if isinstance(judge.model, OpenAI):
        return None
    loaded = SimpleNamespace(specials=re.compile(r"(?!)"), processor=SimpleNamespace(image_processor=None))
    return turns(judge.model._messages(loaded, prompt))  # type: ignore[attr-defined]


def turns(messages: list[dict[str, Any]]) -> list[list[Any]]:
    """Messages without what only the one or the other side has: of a picture only that it is there."""
    return [[message["role"], [shown(part) for part in parts(message["content"])]] for message in messages]


def parts(content: Any) -> list[dict[str, Any]]:
    """The parts of a turn."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def shown(part: dict[str, Any]) -> Any:
    """A part of a turn."""
    return part["text"] if part["type"] == "text" else {"picture": True}


def digest(value: Any) -> str:
    """Of what the model is shown."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def page() -> str:
    """The page."""
    names = sorted(
        p.stem for p in (conf_dir() / "judge").glob("*.yaml") if "mmsb.judge.guards." in p.read_text("utf-8")
    )
    rows, bodies = [], []
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        for name in names:
            row, body = of(name)
            rows.append(row)
            bodies.append(body)
        cases = [received(defense, checker) for defense in ("input_guard", "output_guard") for checker in CHECKERS]
    return HEAD + "".join(rows) + RECEIVED + "".join(cases) + published() + TAIL + "".join(bodies)


def received(defense: str, judge: str | None) -> str:
    """What a server receives of one request behind a guard, in the order of coming."""
    option, check = f"{defense}.judge", "safe" if judge else "No."
    said = iter([check, ANSWERED] if defense == "input_guard" else [ANSWERED, check])
    # One server for target and guard, so that the order in which it was asked is the order on the page.
    with ChatServer(lambda messages: next(said)) as server, TemporaryDirectory() as folder:
        place = f"base_url={server.url}"
        checker = [f"+judge@defense.{option}={judge}", f"model@defense.{option}.model=vllm"] if judge else []
        settings = [f"defense.{option}.model.{one}" for one in ("name=GUARD", place)] if judge else []
        chosen = compose("config", [f"defense={defense}", *checker, *settings]).defense[defense]
        target = build(compose("config", ["model=vllm", "model.name=NAME", f"model.{place}"]).model, OpenAI)
        guarded = build(chosen, Guarding)
        with closing(Store(Path(folder))) as store, Driver(store, [target]) as driver:

            async def flow(number: int) -> Outcome:
                return await defended(Prompt(ASKED, PICTURE), target, [guarded], driver.call)

            list(driver.run([0], flow))
        bodies = [json.dumps(body, ensure_ascii=False, indent=1).replace(PIXEL, "...") for body in server.requests]
    asked = f"`{judge}`" if judge else "the model itself"
    shown = "".join(f"\n```json\n{body}\n```\n" for body in bodies)
    return f"\n### {defense}, checked by {asked}: {len(bodies)} requests\n{shown}"


def published() -> str:
    """What was published of guards, as a table."""
    data = json.loads((PACKAGE / "report/published_guards.json").read_text(encoding="utf-8"))
    lines = [
        f"| `{e['guard']}` | {e['measure']} | {e['value']:g} | {data['sources'][e['source']]} |" for e in data["guards"]
    ]
    return PUBLISHED + "\n".join(lines) + "\n"


def of(name: str) -> tuple[str, str]:
    """A guard's line of the table, and its request's body."""
    local, remote = guard(name), guard(name, "model@judge.model=vllm", "judge.model.name=NAME")
    given = Answer(Prompt(ASKED, PICTURE), Response(ANSWERED), ANY_HARM, request=not local.READS_ANSWERS)
    prompt = remote.prompts(given, given.reading)[0]
    assert isinstance(remote.model, OpenAI)
    body = json.loads(remote.model.request(prompt))
    there = body.get("prompt") or turns(body["messages"])
    mine = here(local, local.prompts(given, given.reading)[0])
    same = "-" if mine is None else "yes" if mine == there else "NO"
    sent = there if isinstance(there, str) else json.dumps(body["messages"], ensure_ascii=False).replace(PIXEL, "")
    first = "-" if mine is None else f"`{digest(mine)}`"
    held, result = HELD[name]
    path = f"`{remote.model.path_of(prompt)}`"
    row = f"| `{name}` | {path} | {len(sent.encode()):,} | {first} | `{digest(there)}` | {same} | {held} | {result} |\n"
    text = json.dumps(body, ensure_ascii=False, indent=1).replace(PIXEL, "...")
    return row, f"\n### {name}\n```json\n{text}\n```\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
