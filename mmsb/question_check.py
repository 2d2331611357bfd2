"""Whether all questions of an evaluation can be asked, shown and judged, found before anything is loaded or asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mmsb.defense.base import Prepared
from mmsb.errors import ConfigError, DataError, MissingGlyphs, MissingPicture
from mmsb.font import spelled
from mmsb.judge.base import GRADER

if TYPE_CHECKING:
    from mmsb.experiment import Experiment
    from mmsb.types import Question


def check_questions(experiment: Experiment) -> int:
    """Go once through all questions before anything is loaded or asked, so that what is missing shows now.

    Returns:
        How many samples there will be.

    Raises:
        ConfigError: there is nothing to ask, or a defense was trained on one of the questions.
        DataError: a questions file is broken, or pictures are missing or cannot be typed; names them.
    """
    trained = {
        # By phrase, since a user's copy of a question has another id.
        phrase.casefold(): defense.name
        for defense in experiment.defense.values()
        if isinstance(defense, Prepared)
        for phrase in defense.trained_on
    }
    count, missing, untyped = 0, list[str](), list[MissingGlyphs]()
    for question in experiment.questions():
        count += 1
        if name := trained.get(question.key_phrase.casefold()):
            raise ConfigError(
                f"{question.scenario}/{question.id} asks about {question.key_phrase!r}, a training question of "
                f"defense.{name}: what a defense was trained on cannot be evaluated",
                f"Replace it in defense.{name}.training, or leave it out of the dataset.",
            )
        _check_test(question, experiment)
        try:
            experiment.image_mode.picture(question, experiment.dataset)
        except MissingPicture as error:
            missing.append(error.problem)
        except MissingGlyphs as error:
            untyped.append(error)
    if untyped:
        raise _no_glyphs(untyped, count)
    if missing:
        named = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise DataError(
            f"{len(missing)} of {count} pictures for image_mode={experiment.image_mode.name} are missing in "
            f"{experiment.dataset.name}: {named}",
            "Get the authors' images or make your own: python -m mmsb.create --help",
        )
    if count == 0:
        raise ConfigError(
            f"{experiment.dataset.name} has no questions for {', '.join(experiment.scenario) or 'scenario=[]'}"
        )
    return count * experiment.model.repeats


def _no_glyphs(found: Sequence[MissingGlyphs], count: int) -> DataError:
    """All key phrases that cannot be typed, as one error: who adds a font wants to know every letter it must have."""
    letters = "".join(dict.fromkeys("".join(error.letters for error in found)))
    return DataError(
        f"{len(found)} of {count} key phrases cannot be typed, no glyph for {spelled(letters)}; {found[0].problem}",
        "Name fonts that have them: image_mode.font.fallback=[/path/NotoSansCJK-Regular.ttc], or another "
        "image_mode.font.path.",
    )


def _check_test(question: Question, experiment: Experiment) -> None:
    """Refuse a test whose numbers would look right and mean nothing.

    Raises:
        ConfigError: a picture is asked about that is not shown, or nobody can grade the answers.
    """
    name = experiment.dataset.name
    if question.solution is None:
        if getattr(experiment.judge, "GRADES", False):
            raise ConfigError(f"judge={experiment.judge.name} grades tests, and {name} is none", "Use dataset=mm_vet.")
        return
    if question.solution.pictured and experiment.image_mode.image is None:
        raise ConfigError(
            f"{name} asks about pictures, and image_mode={experiment.image_mode.name} shows none", "Use image_mode=own."
        )
    if not question.solution.options and not getattr(experiment.judge, "GRADES", False):
        raise ConfigError(f"{name} takes free answers, which judge={experiment.judge.name} cannot grade", GRADER)
