"""Obtain the public labelled answers that the offline judge is trained on and measured by.

    python -m tools.offline_judge.obtain CLONES DATA

clones the repositories into CLONES (those already there are used) and writes DATA/answers.jsonl, one answer a line:

    {"source": "xstest", "system": "gpt4", "language": "en", "question": ..., "answer": ..., "kind": "refusal",
     "agreed": true, "by": "people"}

Nothing obtained here is part of this repository; docs/calibration.md names the licences.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from tools.offline_judge import obtain_abroad
from tools.offline_judge.clone import Clone, Row, row_of

REPOSITORIES = {  # name: address, commit
    "xstest": ("https://github.com/paul-rottger/exaggerated-safety", "d7bb5bd738c1fcbc36edd83d5e7d1b71a3e2d84d"),
    "msts": ("https://github.com/paul-rottger/msts-multimodal-safety", "e9ae69e8f1ab87ab2bb2ed7c51e992e0430f12e3"),
    "jailbreakbench": ("https://github.com/JailbreakBench/artifacts", "909e68c01d94222b8ad2e397a017e2e12e2adb73"),
    "refusalbench": ("https://github.com/AppliedScientific/refusalbench", "13f9637e8f0ee10fb9fcbb39815e1eed409928b0"),
    "do_not_answer": ("https://github.com/kunishou/do-not-answer-ja", "1380ff2ff5abad07e8aead79caa9757bb8d9f866"),
    "judge_capacity": (
        "https://github.com/hyunjun1121/Judge-Capacity-Beats-Template-Language",
        "9f2556a0421f2eeaf7bb1fe016ddb3d193c225b5",
    ),
    "chatgpt_refusals": (
        "https://github.com/maxwellreuter/chatgpt-refusals",
        "37d405b88624b2512b4ad44efa4067a73713aeec",
    ),
    "guardreasoner": ("https://github.com/yueliu1999/GuardReasoner", "bb7e686dc0535884d6994de5f950a072772e7fe2"),
    "jailbreakeval": ("https://github.com/ThuCCSLab/JailbreakEval", "c1419728c039adc8c75e85b72a15a845b0999bf7"),
    "lfvqa": ("https://github.com/UT-CS-HCI/lfvqa", "358d12904635bbf612558da10febfe5e35967540"),
    "gptfuzz": ("https://github.com/sherdencooper/GPTFuzz", "1eddeb565740ae311b5f4950492b011a6f866fe7"),
    "k_overrefusal": (
        "https://github.com/Marker-Inc-Korea/K-OverRefusal",
        "f39bed8748348b76a1a64a730c8089bdb7cd7d1b",
    ),
}
XSTEST = {"1_full_compliance": "compliance", "2_full_refusal": "refusal", "3_partial_refusal": "partial"}
MSTS = {
    "1.1": "refusal",  # "rejection or rebuttal": the act is rejected
    "1.2": "refusal",
    "1.3": "caution",  # "safety considerations": neither
    "1.4": "evasion",
    "1.5": "evasion",
    "1.6": "off_topic",
    "1.7": "evasion",
    "1.Z": "other",
    "2.1": "compliance",
    "2.2": "compliance",
    "2.Z": "compliance",
}
COUNCIL = {
    "direct_refusal": "refusal",
    "indirect_refusal": "refusal",
    "partial_compliance": "partial",
    "compliance": "compliance",
    "non_responsive": "other",
}
DO_NOT_ANSWER = {  # the six actions of arXiv:2308.13387
    0: "refusal",
    1: "rebuttal",
    2: "discussion",
    3: "caution",
    4: "unable",
    5: "compliance",
}
TONES = {
    "complied": "compliance",
    "rejected": "refusal",
    "redirected": "redirected",  # "I cannot say. However, ...": between the two
    "contradicted": "contradicted",  # says that the question is wrong
    "disclaimed": "disclaimer",
    "dontknow": "evasion",
    "counseling": "other",
    "incoherent": "other",
}
LANGUAGES = {
    "english": "en",
    "spanish": "es",
    "french": "fr",
    "german": "de",
    "italian": "it",
    "chinese": "zh",
    "korean": "ko",
    "russian": "ru",
    "arabic": "ar",
    "hindi": "hi",
    "farsi": "fa",
}
CAPACITY = {
    "spa.Latn": "es",
    "fra.Latn": "fr",
    "deu.Latn": "de",
    "ita.Latn": "it",
    "por.Latn": "pt",
    "cmn.Hani": "zh",
    "jpn.Jpan": "ja",
    "kor.Hang": "ko",
    "nld.Latn": "nl",
    "pol.Latn": "pl",
    "ces.Latn": "cs",
    "ron.Latn": "ro",
    "tur.Latn": "tr",
    "ind.Latn": "id",
}


def xstest(clone: Clone) -> Iterator[Row]:
    """2,250 answers of five systems, two annotators each."""
    for path in clone.files("model_completions"):
        system = path.split("_")[-1].removesuffix(".csv")
        for row in clone.table(path):
            agreed = row["annotation_1"] == row["annotation_2"]
            yield row_of(system, "en", row["prompt"], row["completion"], XSTEST[row["final_label"]], agreed)


def msts(clone: Clone) -> Iterator[Row]:
    """8,800 answers of ten vision-language systems about pictures, in eleven languages; English twice annotated."""
    for path in clone.files("data/response_annotations"):
        language = LANGUAGES[Path(path).stem.split("_")[0]]
        for row in clone.table(path):
            label = row.get("final_taxonomy") or row["annot1_label"]
            agreed = str(row.get("agreement_taxonomy")).lower() == "true"
            system = row["model"].replace("/", "--")
            shown = row.get("unsafe_image_description") or ""
            question = f"{row['prompt_text']} [{shown}]" if shown else row["prompt_text"]
            yield row_of(system, language, question, row["response"], MSTS[label[:3]], agreed)


def jailbreakbench(clone: Clone) -> Iterator[Row]:
    """Answers of four systems under five attacks; a model judged whether each is a jailbreak, not how it reads."""
    for path in clone.files("attack-artifacts"):
        found = json.loads(clone.text(path)) if "test-artifact" not in path else {}
        for row in found.get("jailbreaks", []) if isinstance(found, dict) else []:
            if row.get("response"):
                kind = "jailbroken" if row["jailbroken"] else "failed_attack"
                yield row_of(Path(path).stem, "en", row["goal"], row["response"], kind, True, "a model")


def refusalbench(clone: Clone) -> Iterator[Row]:
    """Answers of newer systems to questions about proteins; three models labelled each, none of them people."""
    folder = "results/snapshots/2026-05"
    labels = {
        (row["prompt_id"], row["model"], row["trial_idx"]): row
        for row in clone.table(f"{folder}/council/adjudicated.csv")
    }
    for path in clone.files(f"{folder}/eval"):
        for row in clone.table(path):
            label = labels.get((row["prompt_id"], row["model"], row["trial_idx"]))
            if label and not row["error"] and not row["response_text"].startswith("[CONTENT_FILTERED"):
                kind = COUNCIL[label["modal_compliance"]]
                agreed = float(label["compliance_agreement"]) == 1
                question = row["prompt_id"].replace("_", " ")
                yield row_of(row["model"], "en", question, row["response_text"], kind, agreed, "models")


def do_not_answer(clone: Clone) -> Iterator[Row]:
    """5,634 answers of six systems to questions that ought not to be answered; people said what each does."""
    for path in clone.files("datasets/Review/Human"):
        system = Path(path).stem.removeprefix("annotated_response_")
        for row in clone.table(path):
            kind = DO_NOT_ANSWER[int(float(row["action"]))]
            yield row_of(system, "en", row["question"], row["response"], kind, True)


def judge_capacity(clone: Clone) -> Iterator[Row]:
    """Last answers of one system in jailbreaking dialogues, in many languages; a model said whether it refused."""
    for path in clone.files("data/evaluation_results/gpt_english_eval"):
        language = CAPACITY.get(Path(path).name.split("_")[0])
        for row in json.loads(clone.text(path)) if language else []:
            refused = row["gpt_english_evaluation"].get("refused")
            last = row["turns"][-1]
            if refused in (0, 1) and last["llm_response"]:
                kind = "refusal" if refused else "answered"
                yield row_of("apertus-70b", str(language), last["content"], last["llm_response"], kind, True, "a model")


def chatgpt_refusals(clone: Clone) -> Iterator[Row]:
    """1,700 answers of one system to questions from Quora and about politicians; one person labelled each."""
    seen = set()
    for name in ("quora_insincere_hand_labeled", "political_figures", "nyp"):
        for row in json.loads(clone.text(f"data/{name}.json")):
            if (row["prompt"], row["response"]) not in seen:
                yield row_of("gpt-3.5-turbo", "en", row["prompt"], row["response"], TONES[row["tone"]], True)
            seen.add((row["prompt"], row["response"]))


def gptfuzz(clone: Clone) -> Iterator[Row]:
    """1,540 answers of one system to jailbreaks; people said whether each is one, by its harm, not by its form."""
    asked = [row["text"] for row in clone.table("datasets/questions/question_list.csv")]
    for row in clone.table("datasets/responses_labeled/evaluate.csv"):
        kind = "jailbroken" if row["label"] == "1" else "failed_attack"
        yield row_of("gpt-3.5-turbo", "en", asked[int(row["question"])], row["Response"], kind, True)


def guardreasoner(clone: Clone) -> Iterator[Row]:
    """449 answers to XSTest's questions, refusal or not, and 602 answers of HarmBench's validation, harmful or not."""
    for name, path in (("xstest_response", "0_7_xstest_response_refusal"), ("harmbench", "0_5_harmbench_response")):
        for row in json.loads(clone.text(f"data/benchmark/{path}.json")):
            question, answer = row["input"].removeprefix("Human user:\n").split("\n\nAI assistant:\n", 1)
            yield row_of(name, "en", question, answer.strip(), row["output"].strip(), True) | {"source": name}


def jailbreakeval(clone: Clone) -> Iterator[Row]:
    """1,000 answers of JailJudge and 4,000 of Safe-RLHF; people said whether each is harmful."""
    for name, path in (("jailjudge", "JAILJUDGEmini"), ("safe_rlhf", "Safe-RLHFmini")):
        for row in clone.table(f"data/{path}.csv"):
            kind = "harmful" if row["label"] == "1" else "unharmful"
            yield row_of(name, "en", row["question"], row["answer"], kind, True) | {"source": name}


def lfvqa(clone: Clone) -> Iterator[Row]:
    """3,596 answers of six vision-language systems to blind people's questions; people said what each sentence does."""
    for system in ("blip2", "gemini", "gpt-4v", "instruct_blip", "llava", "qwen"):
        found = json.loads(clone.text(f"data/{system}.json"))
        for row in found.values() if isinstance(found, dict) else found:
            roles = {role for sentence in row["functional_roles"] for role in sentence}
            kind = {(True, False): "compliance", (False, True): "evasion", (True, True): "answered_in_part"}
            answer = row["answer_paragraph"] or ". ".join(row["answer_sentences"])
            yield row_of(
                system,
                "en",
                row["question"].strip(),
                answer,
                kind.get(("Answer" in roles, "Answer Failure" in roles), "other"),
                True,
            )


def k_overrefusal(clone: Clone) -> Iterator[Row]:
    """6,025 Korean answers of seven systems to questions that sound harmful; a model said whether each refuses."""
    for system in (
        "gemini-3.5-flash", "gpt-5.5", "kanana-2-30b-a3b-instruct-2601", "HyperCLOVAX-SEED-Text-Instruct-1.5B",
        "Llama-VARCO-8B-Instruct", "YanoljaNEXT-EEVE-Instruct-10.8B", "llama-3-Korean-Bllossom-8B",
    ):  # fmt: skip
        for path in clone.files(f"outputs/remote_models/{system}"):
            if path.endswith(("merged/evaluation_results.jsonl", "xstest/evaluation_results.jsonl")):
                for row in map(json.loads, clone.text(path).splitlines()):
                    kind = {"compliance": "answered", "refusal": "refusal"}.get(row["refusal_clf_label"], "other")
                    yield row_of(system, "ko", row["prompt_ko"], row["response"] or "", kind, True, "a model")


SOURCES = (xstest, msts, jailbreakbench, refusalbench, do_not_answer, judge_capacity, chatgpt_refusals, gptfuzz)
UNREAD = (guardreasoner, jailbreakeval, lfvqa, k_overrefusal)  # of which nobody of us read an answer


def main(clones: Path, data: Path) -> None:
    """Write all of them."""
    data.mkdir(parents=True, exist_ok=True)
    with (data / "answers.jsonl").open("w", encoding="utf-8") as file:
        for source in (*SOURCES, *UNREAD, *obtain_abroad.SOURCES):
            address, commit = (REPOSITORIES | obtain_abroad.REPOSITORIES)[source.__name__]
            rows = list(source(Clone(source.__name__, address, commit, clones)))
            file.writelines(json.dumps({"source": source.__name__, **row}, ensure_ascii=False) + "\n" for row in rows)
            print(f"{source.__name__}: {len(rows)} answers")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
