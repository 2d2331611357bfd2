"""Pictures: light descriptions of images, loaded or drawn when needed and dropped after.

Each has an `identity` (a digest of what determines its pixels) that is cheap to compute, and gives
its image as encoded bytes (`encoded`) and as pixels (`load`).
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, reduce
from pathlib import Path
from typing import Protocol

from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from mmsb.digest import digest, digest_bytes
from mmsb.errors import DataError
from mmsb.file_digests import FileDigests

MAX_PIXELS = 64_000_000  # 8000 x 8000: far above any picture of the benchmark, far below a bomb
Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow warns above it and refuses above twice as much
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
MEDIA_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "GIF": "image/gif"}
SEEN = FileDigests()
FORMATS = tuple(MEDIA_TYPES)  # what is decoded: of Pillow's dozens, some are barely tested and some run other programs


class Picture(Protocol):
    """An image that is known by what determines its pixels."""

    @property
    def identity(self) -> str:
        """Digest of what determines the pixels (32 hex digits)."""
        ...

    def encoded(self) -> tuple[bytes, str]:
        """The image file's bytes and its media type, e.g. "image/jpeg"."""
        ...

    def load(self) -> Image.Image:
        """The decoded image, mode RGB."""
        ...


@contextmanager
def opened(data: bytes, name: str) -> Iterator[Image.Image]:
    """Open an untrusted image file; what is wrong with it, then or while it is decoded, is an error for people.

    Raises:
        DataError: not an image, truncated, or more than MAX_PIXELS pixels; names `name`.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            yield image
    except Image.DecompressionBombError as error:
        raise DataError(f"{name} has more than {MAX_PIXELS:,} pixels", "Replace it by a smaller image.") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{name} is not a readable image: {error}", "Restore or remove the file.") from error


def decode(data: bytes, name: str) -> Image.Image:
    """Decode an untrusted image file into an RGB image.

    Raises:
        DataError: as `opened`.
    """
    with opened(data, name) as image:
        image.load()
        return image if image.mode == "RGB" else image.convert("RGB")  # a conversion to the same mode is a copy


def media_type(data: bytes, name: str) -> str:
    """The media type of an image file, from its content.

    Raises:
        DataError: not an image of a type that endpoints take.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return MEDIA_TYPES[image.format or ""]
    except (UnidentifiedImageError, OSError, KeyError, Image.DecompressionBombError) as error:
        allowed = ", ".join(MEDIA_TYPES)
        raise DataError(f"{name} is not an image of a known type ({allowed})", "Convert the file.") from error


def jpeg(image: Image.Image) -> bytes:
    """The image as JPEG with Pillow's defaults, as the benchmark's authors save theirs."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG")
    return buffer.getvalue()


def as_jpeg(data: bytes, name: str) -> bytes:
    """An image file as JPEG, upright; one that is that keeps its bytes, and with them what its maker wrote into it.

    Raises:
        DataError: not a readable image.
    """
    # Decoded whole before it is believed: a truncated file has a sound header.
    image = decode(data, name)
    with opened(data, name) as file:
        # A photograph that says how to turn it: some who show it heed that, others do not, and a stack loses it.
        if file.getexif().get(ExifTags.Base.Orientation, 1) != 1:
            return jpeg(ImageOps.exif_transpose(file).convert("RGB"))
    return data if data.startswith(b"\xff\xd8") else jpeg(image)


@dataclass(frozen=True)
class FilePicture:
    """An image file on disk, known by its content."""

    path: Path | str  # as text where there are many: a Path takes longer to make than all else that is done with it

    @cached_property
    def identity(self) -> str:
        """Digest of the file's bytes."""
        return SEEN.of(self.path)

    def encoded(self) -> tuple[bytes, str]:
        """The file as it is."""
        # Read anew and not kept: 5,040 pictures would take gigabytes.
        data = self._bytes()
        return data, media_type(data, str(self.path))

    def load(self) -> Image.Image:
        """The decoded file, RGB."""
        return decode(self._bytes(), str(self.path))

    def _bytes(self) -> bytes:
        data = Path(self.path).read_bytes()
        # An answer is stored under the picture's digest: one to another picture would be found under it for ever.
        if "identity" in self.__dict__ and digest_bytes(data) != self.identity:
            raise DataError(f"{self.path} was changed while it was in use", "Run the same command again.")
        return data


@dataclass(frozen=True)
class BytesPicture:
    """An image file held in memory (a parquet cell, say)."""

    data: bytes
    name: str

    @cached_property
    def identity(self) -> str:
        """Digest of the bytes."""
        return digest_bytes(self.data)

    def encoded(self) -> tuple[bytes, str]:
        """The bytes as they are."""
        return self.data, media_type(self.data, self.name)

    def load(self) -> Image.Image:
        """The decoded bytes, RGB."""
        return decode(self.data, self.name)


@dataclass(frozen=True)
class Stacked:
    """One picture above another: no resize, width the larger of the two, black where one is narrower."""

    top: Picture
    bottom: Picture

    @cached_property
    def identity(self) -> str:
        """Digest of the two identities."""
        return digest(["stacked", self.top.identity, self.bottom.identity])

    def encoded(self) -> tuple[bytes, str]:
        """The stack as JPEG."""
        return jpeg(stack(self.top.load(), self.bottom.load())), "image/jpeg"

    def load(self) -> Image.Image:
        """The stack as it reads back from its JPEG: the same pixels as from a folder written to disk."""
        return decode(self.encoded()[0], "a stacked picture")


def stack(top: Image.Image, bottom: Image.Image) -> Image.Image:
    """`top` above `bottom` on black, as the benchmark's authors do it."""
    result = Image.new("RGB", (max(top.width, bottom.width), top.height + bottom.height))
    result.paste(top, (0, 0))
    result.paste(bottom, (0, top.height))
    return result


def thumbnail(picture: Picture, width: int) -> Image.Image:
    """The picture at most `width` pixels wide, RGB; stacked parts keep their sizes to one another.

    Raises:
        DataError: not a readable image.
    """
    files = files_of(picture)
    sizes = [_size(data) for data in files]
    scale = min(1.0, width / max(wide for wide, _ in sizes))
    parts = [
        _reduced(data, (max(1, round(wide * scale)), max(1, round(high * scale))))
        for data, (wide, high) in zip(files, sizes, strict=True)
    ]
    return reduce(stack, parts)


def files_of(picture: Picture) -> list[bytes]:
    """The image files that make up a picture, from top to bottom."""
    # Not the stack's own JPEG: to write it at full size and decode it again takes longer than all the rest.
    if isinstance(picture, Stacked):
        return files_of(picture.top) + files_of(picture.bottom)
    return [picture.encoded()[0]]


def _size(data: bytes) -> tuple[int, int]:
    with opened(data, "a picture of the run") as image:
        return image.size


def _reduced(data: bytes, size: tuple[int, int]) -> Image.Image:
    with opened(data, "a picture of the run") as image:
        image.draft("RGB", size)  # a JPEG is decoded at about this size: ten times faster
        return image.convert("RGB").resize(size)
