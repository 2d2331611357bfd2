"""OpenAI's moderation endpoint as a model: its answer is the JSON that the endpoint gives for a text.

{"flagged": true, "categories": {"illicit": true, ...}, "category_scores": {"illicit": 0.93, ...}}
"""

from __future__ import annotations

import msgspec
import orjson

from mmsb.config import settings
from mmsb.model.chat import content
from mmsb.model.openai import OpenAI
from mmsb.replies import parse_moderation
from mmsb.types import Prompt, Response, clean


@settings
class Moderation(OpenAI):
    """A moderation model. It is shown the prompt's reply alone; where there is none, its text with its picture."""

    def path_of(self, prompt: Prompt) -> str:
        """Where a prompt is sent."""
        return "/moderations"

    def request(self, prompt: Prompt) -> bytes:
        """The body of the request for a prompt: its reply, or its text with its picture.

        Raises:
            DataError: the picture cannot be read.
            TooLarge: it has more than `max_image_bytes`.
        """
        # The reply alone: with the question beside it, a harmful question would flag every refusal of it.
        text = clean(prompt.text if prompt.reply is None else prompt.reply)
        picture = self._picture(prompt.image) if prompt.image and prompt.reply is None else None
        return orjson.dumps({"model": self.name, "input": content(text, picture, None)})

    def read(self, body: bytes, prompt: Prompt) -> Response:
        """The endpoint's first result as the answer.

        Raises:
            Malformed: not the JSON of a moderation.
        """
        return Response(msgspec.json.encode(parse_moderation(body)).decode())
