"""OpenAI's moderation endpoint as a model: its answer is the JSON that the endpoint gives for a text.

{"flagged": true, "categories": {"illicit": true, ...}, "category_scores": {"illicit": 0.93, ...}}
"""

from __future__ import annotations

from typing import ClassVar

import msgspec
import orjson

from mmsb.config import settings
from mmsb.model.openai import OpenAI
from mmsb.schemas import parse_moderation
from mmsb.types import Prompt, Response, clean


@settings
class Moderation(OpenAI):
    """A moderation model. It is shown the prompt's reply alone (its text, where there is no reply)."""

    path: ClassVar[str] = "/moderations"

    def request(self, prompt: Prompt) -> bytes:
        """The body of the request for a prompt."""
        text = prompt.text if prompt.reply is None else prompt.reply
        return orjson.dumps({"model": self.name, "input": clean(text)})

    def read(self, content: bytes) -> Response:
        """The endpoint's first result as the answer.

        Raises:
            Malformed: not the JSON of a moderation.
        """
        return Response(msgspec.json.encode(parse_moderation(content)).decode())
