"""OpenAI's moderation endpoint as a model: its answer is the JSON that the endpoint gives for a text.

{"flagged": true, "categories": {"illicit": true, ...}, "category_scores": {"illicit": 0.93, ...}}
"""

from __future__ import annotations

from typing import ClassVar

import orjson

from mmsb.config import settings
from mmsb.model.chat import Malformed
from mmsb.model.openai import OpenAI
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
        try:
            result = orjson.loads(content)["results"][0]
            kept = {name: result[name] for name in ("flagged", "categories", "category_scores")}
        except (orjson.JSONDecodeError, LookupError, TypeError) as error:
            raise Malformed(f"not a moderation: {content[:200]!r}") from error
        return Response(orjson.dumps(kept).decode())
