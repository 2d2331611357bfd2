"""What an images endpoint replies, parsed by a strict schema (see `mmsb.replies`)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from mmsb.replies import Malformed, parsed, shown_bytes


class Drawing(msgspec.Struct, frozen=True):
    """A picture, or where one may be fetched, which is nowhere we go."""

    b64_json: bytes | None = None
    url: str | None = None


class Drawings(msgspec.Struct, frozen=True):
    """A reply of an images endpoint."""

    data: list[Drawing] = []


_drawings: Callable[[bytes], Drawings] = msgspec.json.Decoder(Drawings).decode


def parse_drawing(content: bytes) -> bytes:
    """The picture in a reply of /images/generations, as a file.

    Raises:
        Malformed: there is none, or a link, which could lead anywhere.
    """
    drawn = parsed(_drawings, content, "a picture").data
    if drawn and drawn[0].b64_json:
        return drawn[0].b64_json
    if drawn and drawn[0].url:
        raise Malformed("a link in place of a picture; ask for b64_json by generator.extra")
    raise Malformed(f"no picture in the reply: {shown_bytes(content)}")
