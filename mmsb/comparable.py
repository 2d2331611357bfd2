"""Comparable or not: whether a run's numbers may stand beside those of the benchmark's paper.

One function decides, and says everything that differs, each reason as "what: how". It looks at what was really asked:
the questions themselves (by digest, whatever file they came from), the pictures, and the model's prompt and decoding.
What it cannot see: whether picture files and evaluation.py are the authors' (no digests of them are known here), and
the weights behind a name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeGuard

from mmsb.config import build
from mmsb.dataset.base import Dataset
from mmsb.dataset.hub import HubMirror
from mmsb.dataset.mm_safetybench import MMSafetyBench, Shipped
from mmsb.defense.none import NoDefense
from mmsb.digest import digest
from mmsb.font import is_the_authors
from mmsb.image_mode.typography import TypedText
from mmsb.judge.base import Judge
from mmsb.judge.official import Official
from mmsb.model.local import Local
from mmsb.paths import conf_dir
from mmsb.picture import Picture, Stacked
from mmsb.report.published import published
from mmsb.resolvers import AUTHORS

if TYPE_CHECKING:
    from mmsb.experiment import Experiment

# What the paper's judge was, and its snapshots (gpt-4-0613, gpt-4-turbo). gpt-4o and gpt-4.1 are other models and judge
# otherwise, whatever their names begin with.
JUDGE = re.compile(r"gpt-4(-.*)?")
WORDINGS = {"text_only": "changed", "sd": "rephrased_sd", "typo": "rephrased", "sd_typo": "rephrased"}
IMAGES = {"text_only": None, "sd": "SD", "typo": "TYPO", "sd_typo": "SD_TYPO"}
TYPED = (90, 1024)  # the size of their letters and the width of their pictures, in pixels
DEFENSE, FEW = "defense", 3  # a kind of reason; so many of it are named in one line
MADE = "manifest.json"  # what mmsb.create leaves beside pictures that it made


@dataclass(frozen=True)
class Comparability:
    """What was decided.

    Attributes:
        reasons: everything that differs from the paper's protocol, as "what: how"; empty where nothing does.
    """

    reasons: tuple[str, ...]

    @property
    def record(self) -> dict[str, Any]:
        """As run.json holds it."""
        return {"comparable": not self.reasons, "reasons": list(self.reasons)}


def comparable(
    experiment: Experiment, choices: Mapping[str, str], counts: Mapping[str, int], failed: int = 0
) -> Comparability:
    """Decide whether a run may stand beside the paper.

    Args:
        experiment: what was run.
        choices: the option of each config group.
        counts: how many questions were asked, by scenario.
        failed: samples that have no answer.
    """
    found = [*_data(experiment, counts), *_asked(experiment), *_model(experiment, choices), *_judge(experiment.judge)]
    if failed:
        found.append(f"answers: {failed} sample{'s' * (failed > 1)} failed")
    return Comparability(tuple(found))


def judged_again(before: Mapping[str, Any] | None, judge: Judge) -> Comparability:
    """Decide for answers that are judged again: all that differed still does, but for the judge.

    Args:
        before: what was decided when the answers were made; None where that is not known.
        judge: the new judge.
    """
    # A run of an older version says nothing of this: not known is not the same as comparable.
    known = before["reasons"] if before else ["answers: how they were made is not known here"]
    return Comparability((*(reason for reason in known if not reason.startswith("judge:")), *_judge(judge)))


def sentence(record: Mapping[str, Any]) -> str:
    """The one line that a run prints."""
    if record["comparable"]:
        return "Comparable with the paper: data, pictures, prompt, decoding and judge are the authors'."
    return f"Not comparable with the paper: {'; '.join(record['reasons'])}."


def sentence_of_all(records: Sequence[Mapping[str, Any]]) -> str:
    """The one line that a sweep prints: its runs' reasons, each once, with how many runs have it where not all do."""
    runs = Counter(reason for record in records for reason in dict.fromkeys(record["reasons"]))
    alike: dict[tuple[str, int], list[str]] = {}
    for reason, of in runs.items():
        what = reason.partition(":")[0]
        # A sweep over all defenses would fill the screen with their names, which stand in the table above.
        alike.setdefault((what if what == DEFENSE else reason, of), []).append(reason)
    told = []
    for (_, of), reasons in alike.items():
        all_told = "; ".join(reasons) if len(reasons) <= FEW else f"{reasons[0]} and {len(reasons) - 1} others"
        each = " each" if len(reasons) > 1 else ""
        told.append(all_told if of == len(records) else f"{all_told} ({of} of {len(records)} runs{each})")
    return sentence({"comparable": not told, "reasons": told})


def heading(record: Mapping[str, Any]) -> str:
    """What stands over published numbers beside a run's: `paper`, and what differs where something does."""
    differing = dict.fromkeys(reason.partition(":")[0] for reason in record["reasons"])
    return f"paper (other {', '.join(differing)})" if differing else "paper"


def _data(experiment: Experiment, counts: Mapping[str, int]) -> Iterator[str]:
    """The whole benchmark, its own words, and nothing else."""
    dataset = experiment.dataset
    if not _is_benchmark(dataset):
        yield f"data: {dataset.name} is not the benchmark"
        return
    told = [f"limit {dataset.limit}"] if dataset.limit else []
    told += [f"subset {dataset.subset}"] if dataset.subset != "full" else []
    whole = published()["counts"]
    if counts != whole:
        short = sum(counts.get(name, 0) != count for name, count in whole.items())
        told.append(f"{sum(counts.values()):,} questions instead of {sum(whole.values()):,}, {short} scenarios differ")
    else:
        told += [f"{what} are not those of the authors' files, by their digest" for what in _other_words(experiment)]
    if told:
        yield f"data: {', '.join(told)}"


def _is_benchmark(dataset: Dataset) -> TypeGuard[MMSafetyBench | HubMirror]:
    return isinstance(dataset, MMSafetyBench | HubMirror) and not isinstance(dataset, Shipped)


def _other_words(experiment: Experiment) -> Iterator[str]:
    """Which of the texts that were used are not the authors'."""
    known, role = published()["questions"], experiment.image_mode.question
    questions = list(experiment.questions())
    if digest([[one.scenario, one.id, one.texts.get(role)] for one in questions]) != known.get(role):
        yield f"the questions ({role})"
    phrased = any(one.key_phrase for one in questions)  # the hub's mirror has none, and types none
    if phrased and digest([[one.scenario, one.id, one.key_phrase] for one in questions]) != known["key_phrase"]:
        yield "the key phrases"


def _asked(experiment: Experiment) -> Iterator[str]:
    """The wording that belongs to the picture, and the picture."""
    mode = experiment.image_mode
    if mode.name not in WORDINGS:
        yield f"image mode: {mode.name} is none of the paper's"
        return
    if mode.question != WORDINGS[mode.name] or mode.image != IMAGES[mode.name]:
        yield f"image mode: {mode.name} asks {mode.question} with {mode.image}"
    if mode.image and _is_benchmark(experiment.dataset):
        yield from _pictures(experiment)
    if experiment.model.repeats != 1:
        yield f"repeats: {experiment.model.repeats}"
    if defenses := [name for name, defense in experiment.defense.items() if not isinstance(defense, NoDefense)]:
        yield f"{DEFENSE}: {', '.join(defenses)}"


def _pictures(experiment: Experiment) -> Iterator[str]:
    """The authors' files, or text typed as they type it."""
    dataset, mode = experiment.dataset, experiment.image_mode
    if isinstance(dataset, MMSafetyBench) and (dataset.folder / MADE).is_file():
        yield f"pictures: made with mmsb.create, says {dataset.folder / MADE}"
    # SD pictures are files: how they were made is not in them.
    shown = (mode.picture(question, dataset) for question in experiment.questions()) if mode.image != "SD" else ()
    if differing := {how for picture in shown if picture for how in _drawn(picture)}:
        yield f"pictures: {', '.join(sorted(differing))}"


def _drawn(picture: Picture) -> Iterator[str]:
    """How a picture that was drawn here differs from the authors'."""
    typed = picture.bottom if isinstance(picture, Stacked) else picture
    if not isinstance(typed, TypedText):
        return
    if not all(map(is_the_authors, typed.fonts)):
        yield f"typed in {', '.join(font.name for font in typed.fonts)}, not in the authors' ARIAL.TTF"
    if (typed.size, typed.width) != TYPED:
        yield f"{typed.size} pixel letters in {typed.width} pixels, not {TYPED[0]} in {TYPED[1]}"


def _model(experiment: Experiment, choices: Mapping[str, str]) -> Iterator[str]:
    """A system of the paper, as its preset has it."""
    model, name = experiment.model, choices.get("model", "")
    if name not in published()["systems"] or not isinstance(model, Local):
        yield f"model: {model.name} is not in the paper"
        return
    if experiment.protocol != AUTHORS:
        yield f"protocol: {experiment.protocol}"
    preset = as_published(name)
    if changed := [what for what, ours in _settled(model).items() if ours != _settled(preset)[what]]:
        yield f"settings: model.{', model.'.join(changed)} changed from the preset"


@cache
def as_published(name: str) -> Local:
    """A preset as it comes with mmsb, whatever the run's configuration made of it."""
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.utils import create_config_search_path
    from hydra.types import RunMode

    loader = ConfigLoaderImpl(create_config_search_path(str(conf_dir())))  # apart from the run's own Hydra
    composed = loader.load_configuration(f"model/{name}", [], RunMode.RUN)
    return build(composed.model, Local)


def _settled(model: Local) -> dict[str, Any]:
    """What determines a local model's answers, apart from precision and batches."""
    weights = {"name_or_path": model.name_or_path, "revision": model.revision, "adapter": model.adapter}
    decoding = {"generation": model.decoding, "max_new_tokens": model.max_new_tokens}
    return {"_target_": type(model), **weights, **decoding, **model.content()}


def _judge(judge: Judge) -> Iterator[str]:
    """The authors' prompts, asked of GPT-4."""
    if not isinstance(judge, Official):
        yield f"judge: {judge.name}, the paper's is GPT-4 with the authors' prompts (judge=official)"
    elif not JUDGE.fullmatch(judge.model.name.rpartition("/")[2]):
        yield f"judge: {judge.model.name} with the authors' prompts, the paper's is GPT-4"
