"""CIDER: where denoising a picture takes it far from the text, the picture carried what the text asks for.

After Xu et al., CIDER (EMNLP 2024 Findings, arXiv 2407.21659; github.com/PandragonXIII/CIDER at 3c08d7e2,
code/defender.py and code/main.py). Theirs are the seven denoised copies, the comparison of each with the picture as it
came, the threshold, LLaVA's own encoders, and that nothing but the refusal follows. It was built against adversarial
noise, and its threshold chosen on clean photographs: pictures of typed text may all pass or all fail. Different here:
any unconditional denoiser of diffusers in place of guided-diffusion's, noise drawn from the picture's identity, and a
picture that passes reaches the model whole, as in the paper (their code passes on the squashed JPEG).
"""

from __future__ import annotations

import json
from typing import ClassVar

from pydantic import NonNegativeFloat

from mmsb.config import settings
from mmsb.defense.base import Ask
from mmsb.defense.wording import check_text
from mmsb.model.denoised import Denoised
from mmsb.types import Prompt, Response


@settings
class Cider:
    """A comparison, and a call for what passes; a prompt without a picture is asked as it is.

    Attributes:
        name: the name for tables.
        detector: compares text and picture before and after denoising.
        refusal: what is answered where they part.
        threshold: the fall in cosine above which they do. Choose it on benign questions.
    """

    name: str
    detector: Denoised
    refusal: str
    threshold: NonNegativeFloat

    NEEDS_PICTURE: ClassVar[bool] = True  # it passes a prompt without one on as it is

    def __post_init__(self) -> None:
        """Refuse to answer with nothing.

        Raises:
            ConfigError: the refusal is empty.
        """
        check_text(self.name, "refusal", self.refusal)

    def fingerprint(self) -> dict[str, object]:
        """The detector, the threshold and the refusal."""
        return {
            "cider": dict(self.detector.fingerprint()),
            "threshold": self.threshold,
            "refusal": self.refusal,
        }

    async def answer(self, prompt: Prompt, ask: Ask) -> Response:
        """The model's answer, or the refusal."""
        if prompt.image is None:
            return await ask(prompt, "answer")
        # What the user sent, without what a defense outside of this one put into the system prompt.
        shown = Prompt(prompt.text, prompt.image)
        told = await ask.helper(self.detector, shown, "similarity of text and denoised picture")
        # In the order in which the detector wrote them: the picture as it came first.
        whole, *denoised = json.loads(told.text).values()
        if whole - min(denoised) > self.threshold:
            return Response(self.refusal)
        return await ask(prompt, "answer")
