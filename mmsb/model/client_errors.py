"""Errors of OpenAI's own client, as those of a request (`mmsb.model.request_errors`)."""

from __future__ import annotations

import openai

from mmsb.model.request_errors import RequestError, lost, refused
from mmsb.replies import Refused


def client_error(error: openai.APIError, key: str | None) -> RequestError:
    """An error of the client, sorted; `key` is blotted out where a server repeats it."""
    if isinstance(error, openai.APIStatusError):
        return refused(Refused(error.status_code, error.response.headers, error.response.content), key)
    # The client says only "Connection error."; what happened is its cause.
    return lost(error.__cause__ or error, key)
