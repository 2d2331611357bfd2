"""An answer without what a reasoning model thought before it.

    >>> final_answer("<think>They want a cake.</think> Mix flour and eggs.")
    'Mix flour and eggs.'

| format | thinking | models known to write it |
|---|---|---|
| tags | `<think>`, `<thinking>`, `<thought>`, `<reasoning>`, `<reflection>` | DeepSeek-R1, Qwen3, GLM, EXAONE |
| the same with a name | `<seed:think>`, with `<seed:cot_budget_reflect>` in it; `<longcat_think>` | Seed-OSS; LongCat |
| brackets | `[THINK]...[/THINK]` | Magistral |
| triangles | `\u25c1think\u25b7...\u25c1/think\u25b7` | Kimi-VL |
| harmony channels | `<|channel|>analysis<|message|>...<|end|>` | gpt-oss |
| the same without special tokens | `analysis...assistantfinal` | gpt-oss |
| signs | `<|START_THINKING|>`, `<|begin_of_thought|>`, `<|channel>thought` | Command A, OpenThinker, Gemma 4 |
| | `<|inner_prefix|>...<|inner_suffix|>`, `<unused94>thought...<unused95>` | Apertus, MedGemma |
| | `<|think|>...<|end|><|begin|>assistant<|content|>` | Solar Open |
| a tag, as an answer's first word alone | `<analysis>...</analysis>` | Keye-VL |
| words | "Here is my thought process: ... Here is my response:" | Granite 3.2 |

Thinking that was cut off runs to the end. A closing sign without its opening one is a **stray**: most often the
template had opened it, but nobody can know that from the text, so what stands before it counts (`parts`).
"""

from __future__ import annotations

import re

_TAG = r"(?:[a-z]{2,12}[:_])?(?:think(?:ing)?|thought|reasoning|reflection)"
_PAIRS = (
    (rf"<{_TAG}>", rf"</{_TAG}>"),
    (r"\[THINK\]", r"\[/THINK\]"),
    ("\u25c1think\u25b7", "\u25c1/think\u25b7"),
    (r"<\|START_THINKING\|>", r"<\|END_THINKING\|>"),
    (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),
    (r"<\|channel>thought", r"<channel\|>"),
    (r"<\|inner_prefix\|>", r"<\|inner_suffix\|>"),
    (r"<unused94>thought", r"<unused95>"),
)
# Those whose closing sign ends other things as well, so that it alone is no stray one.
_OPENED = (
    (
        r"(?:<\|channel\|>|\A)(?:analysis|commentary)(?:[^<]|<\|constrain\|>){0,80}<\|message\|>",
        r"<\|(?:end|return|call)\|>",
    ),
    (r"<\|think\|>", r"(?:<\|end\|>|(?=<\|content\|>))"),
    (r"\A\s*<analysis>", r"</analysis>"),
)
_MARKS = ("<", "[/THINK]", "[THINK]", "\u25c1")
_FLAGS = re.DOTALL | re.IGNORECASE
CLOSED = tuple(re.compile(f"{opening}.*?(?:{closing}|\\Z)", _FLAGS) for opening, closing in _PAIRS + _OPENED)
STRAY = re.compile("|".join(closing for _, closing in _PAIRS), _FLAGS)
SIGNS = re.compile(
    r"<\|(?:(?:start|begin)\|>assistant(?=<\|)|content\|>|channel\|>final(?:<\|constrain\|>\w+)?<\|message\|>|return\|>|end\|>|END_RESPONSE\|>|"
    r"START_RESPONSE\|>|(?:begin|end)_of_(?:solution|box)\|>)|</?(?:response|answer)>\s*(?=\S|\Z)",
    _FLAGS,
)
# A word at the beginning of an answer unless thinking, or a final channel, shows that it is none.
BARE_HARMONY = re.compile(
    r"\A(?:assistant)?analysis(?:(?=[A-Z\s]).*?(?:assistant\s*final|\Z)|.*?assistant\s*final)", re.DOTALL
)
# At the very beginning alone: within an answer these are words like any others.
GRANITE = re.compile(r"\AHere(?: is|'s) my thought process:.*?(?:Here(?: is|'s) my response:|\Z)", _FLAGS)


def final_answer(text: str) -> str:
    """The answer without its thinking, stripped; where nothing follows a stray closing sign, what precedes it."""
    before, after = parts(text)
    return after or before


def parts(text: str) -> tuple[str, str]:
    """What stands before a stray closing sign, and the answer after it (all of it where there is none), stripped."""
    if text.startswith(("analysis", "assistantanalysis", "Here")):
        text = GRANITE.sub("", BARE_HARMONY.sub("", text, count=1), count=1)
    # Most answers hold none, and ten searches through each would cost more than all the rest.
    if not any(mark in text for mark in _MARKS):
        return "", text.strip()
    # One format after the other: models quote another's tags inside their own thinking.
    for thinking in CLOSED:
        text = thinking.sub("", text)
    *before, after = STRAY.split(SIGNS.sub("", text))
    return "\n".join(before).strip(), after.strip()
