"""Public answers in other languages than English, for `tools.offline_judge.obtain`.

Two sources say of each answer whether it refuses; the others are answers to instructions, and nobody said of them
whether they help: `tools.offline_judge.train` leaves out those that decline in so many words.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.offline_judge.clone import Clone, Row, row_of

REPOSITORIES = {  # name: address, commit
    "polyrefuse": ("https://github.com/mainlp/Multilingual-Refusal", "985169df2a0b1ba56a95c65d5f60e228f12be4a1"),
    "cdna": ("https://github.com/mbzuai-nlp/Arabic_safety_evaluation", "ff22056bc5e4888a70ac1297d6eec2b86fd70425"),
    "xchat": ("https://github.com/neulab/Pangea", "ecc4403a5944dc975a4d1a0de211aab35ee7d723"),
    "mt_bench": (
        "https://github.com/lightblue-tech/multilingual-mt-bench",
        "9e4e80ae592941c8e284f804a90bbeb4f1c9b2ab",
    ),
    "ko_mt_bench": ("https://github.com/pnu-clink/korean-mt-bench", "f3af7b8c31d896dc1a52bb3f02cb2285756e0799"),
    "pt_llms": ("https://github.com/caiocezarq/llm-comparison-benchmark", "289b020d6b8392f1c88d7de61de0f515ae74524d"),
}
POLYREFUSE = ("ar", "de", "es", "fr", "it", "ja", "ko", "ru", "zh")
ACTIONS = ("refusal", "rebuttal", "discussion", "caution", "unable", "compliance")  # of Do-Not-Answer
XCHAT = "evaluation/lmms-eval/lmms_eval/tasks/xchat/responses"
XCHAT_LANGUAGES = {"Chinese": "zh", "Hindi": "hi", "Japanese": "ja", "Korean": "ko", "Spanish": "es"}
XCHAT_SYSTEMS = ("gpt4o", "gemini-1.5-pro", "Phi-3.5-vision-instruct", "llava-v1.6-vicuna-7b-hf")
MT_BENCH = ("de", "fr", "ja", "ru", "zh")
MT_BENCH_SYSTEMS = (  # not the nine that were made of one of these
    "Nexusflow__Starling-LM-7B-beta", "Qwen__Qwen2-7B-Instruct", "gpt-3.5-turbo", "lightblue__SuzumeQ_7B",
    "lightblue__suzume-llama-3-8B-multilingual", "lightblue__suzume-llama-3-8B-multilingual-orpo-borda-half",
)  # fmt: skip
LARGEST = 4 << 20  # bytes of a file
NOBODY = "nobody"  # says what the answer does


def polyrefuse(clone: Clone) -> Iterator[Row]:
    """Answers of three systems to harmful requests, as they are and with refusing taken out of them.

    A model (WildGuard, of a translation) said whether each refuses. The larger files are left out: copies of the
    repository lack them.
    """
    for path in clone.files("output/ja_vector_sweep", LARGEST):
        parts = path.split("/")
        if parts[-1].endswith("_evaluations.json") and parts[4] in POLYREFUSE:
            way = "without refusing" if "ablation" in parts[-1] else "as it is"
            for one in json.loads(clone.text(path))["completions"]:
                kind = "refusal" if one["wildguard"]["refusal"] else "answered"
                asked, answer = one["instruction"], one["response"]
                yield row_of(f"{parts[3]}, {way}", parts[4], asked, answer, kind, True, "a model")


def cdna(clone: Clone) -> Iterator[Row]:
    """365 Chinese answers of one system to questions that ought not to be answered; people said what each does."""
    for one in clone.table("cdna/human_eval/human_eval_gpt3.5_366_samples.csv"):
        if one["action_label"].isdigit():
            kind = ACTIONS[int(one["action_label"])]
            yield row_of("gpt-3.5-turbo", "zh", one["question_zh"], one["response_zh"], kind, True)


def xchat(clone: Clone) -> Iterator[Row]:
    """Answers of vision-language systems to instructions about pictures, in five languages."""
    for name, language in XCHAT_LANGUAGES.items():
        lower = name.lower()
        files = {system: f"{system}-{name}" for system in XCHAT_SYSTEMS}
        files |= {"Pangea-7B": f"{lower}_prompts_responses", "palo": f"palo-{lower}", "cambrian": f"cambrian-{lower}"}
        for system, file in files.items():
            for one in json.loads(clone.text(f"{XCHAT}/{file}.json")):
                asked = one.get("input") or one["question"]
                yield row_of(system, language, asked, one["response"] or "", "answered", True, NOBODY)


def mt_bench(clone: Clone) -> Iterator[Row]:
    """Answers of six systems to the questions of MT-Bench, in five languages."""
    for language in MT_BENCH:
        for system in MT_BENCH_SYSTEMS:
            path = f"fastchat/llm_judge/data/{language}_mt_bench/model_answer/{system}.jsonl"
            yield from _turns(clone.text(path), system, language)


def ko_mt_bench(clone: Clone) -> Iterator[Row]:
    """Answers of six systems to its questions in Korean."""
    for path in clone.files("data/ko/answers"):
        yield from _turns(clone.text(path), Path(path).stem, "ko")


def pt_llms(clone: Clone) -> Iterator[Row]:
    """Answers of seven systems to 27 Portuguese questions, three times each."""
    for path in clone.files("results"):
        if path.endswith("resultados_todos.json"):
            for one in _lines(clone.text(path)):
                if not one["is_error"]:
                    yield row_of(one["model"], "pt", one["prompt"], one["prediction"] or "", "answered", True, NOBODY)


def _turns(text: str, system: str, language: str) -> Iterator[Row]:
    for one in _lines(text):
        for answer in one["choices"][0]["turns"]:
            yield row_of(system, language, "", answer, "answered", True, NOBODY)


def _lines(text: str) -> Iterator[Any]:
    yield from (json.loads(line) for line in text.split("\n") if line.strip())


SOURCES = (polyrefuse, cdna, xchat, mt_bench, ko_mt_bench, pt_llms)
