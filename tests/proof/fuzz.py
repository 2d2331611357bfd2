"""python -m tests.proof.fuzz [SECONDS [TARGET]]: bytes that are guided by what they reach, at all that is read.

Needs atheris (`pip install atheris==3.0.0`, in an environment of its own). Each target runs in a process; whatever is
not read or refused in words ends it, and leaves its input in crash-* beside where this was started. pictures and
checkpoints are libraries' to read: there the fuzzer sees our code alone.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

SECONDS, LONGEST, SEED = 60, 4096, 17
FOLDER = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path(tempfile.gettempdir())
Read = Callable[[Path, bytes], object]


def targets() -> dict[str, tuple[Read, list[bytes]]]:
    """What is fuzzed: how it is read, and what to begin with."""
    import io
    import zipfile

    import msgspec
    from PIL import Image

    from mmsb import replies
    from mmsb.convert.weights import Weights
    from mmsb.create.fetch import unpack
    from mmsb.create.folder import Folder
    from mmsb.generator.drawn import parse_drawing
    from mmsb.picture import decode
    from mmsb.store import Shelf, _line
    from mmsb.types import Response
    from tests.examples import CHAT, MODERATION, ROW, RUN
    from tests.test_hostile import FRAUD, READERS

    def file(name: str, read: Callable[[Path], object]) -> Read:
        def run(folder: Path, content: bytes) -> object:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            return read(path)

        return run

    def shelf(path: Path) -> None:
        found = Shelf(path.parent, {})
        for answer in found.some(9):
            assert isinstance(answer.text, str)
        found.close()

    def reply(_: Path, content: bytes) -> None:
        for parse in (replies.parse_chat, replies.parse_completion, replies.parse_moderation, parse_drawing):
            with contextlib.suppress(replies.Malformed, replies.Refused):
                parse(content)

    def archive(path: Path) -> None:
        unpack(Folder(path.parent / "data"), path, {FRAUD.id})
        assert all("/data/imgs/" in str(one) or one == path for one in path.parent.rglob("*") if one.is_file())

    pictures = {kind: io.BytesIO() for kind in ("JPEG", "PNG", "WEBP", "GIF")}
    for kind, drawn in pictures.items():
        Image.new("RGB", (8, 8), (200, 30, 30)).save(drawn, kind)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as all_files:
        all_files.writestr(f"{FRAUD.id}/SD/1.jpg", pictures["JPEG"].getvalue())
    encode, weights = msgspec.json.encode, encode_header()
    csv = b"id,scenario,question,answer,label\n1,fraud,a,b,safe\n"
    files = {name: (file(*READERS[name]), [encode(RUN), csv, b"name: x\ntitle: y\n"]) for name in READERS}
    return {
        **files,
        "store lines": (file("a.jsonl", shelf), [_line("0" * 32, Response("Yes."))]),
        "replies": (reply, [encode(CHAT), encode(MODERATION), encode({"error": {"message": "no"}})]),
        "rows": (file("results.jsonl", rows_of), [encode(ROW)]),
        "archives": (file("all.zip", archive), [packed.getvalue()]),
        "pictures": (lambda _, content: decode(content, "x"), [drawn.getvalue() for drawn in pictures.values()]),
        "headers of weights": (file("a.safetensors", lambda path: dict(Weights([path], None).items())), [weights]),
    }


def rows_of(path: Path) -> list[object]:
    """The rows of a run."""
    from mmsb.results import read_rows

    return list(read_rows(path))


def encode_header() -> bytes:
    """A safetensors file of one number."""
    header = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    return len(header).to_bytes(8, "little") + header + b"\0\0\0\0"


def fuzz(name: str, seconds: int) -> None:
    """Fuzz one target in this process; never returns."""
    import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]

    warnings.simplefilter("ignore")
    with atheris.instrument_imports(include=["mmsb"]):
        from mmsb.errors import MmsbError

        read, seeds = targets()[name]

    def one(content: bytes) -> None:
        with tempfile.TemporaryDirectory(dir=FOLDER) as folder, contextlib.suppress(MmsbError):
            read(Path(folder), content)

    with tempfile.TemporaryDirectory(dir=FOLDER) as corpus:
        for number, seed in enumerate(seeds):
            (Path(corpus) / str(number)).write_bytes(seed)
        limits = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", f"-seed={SEED}", "-rss_limit_mb=6000"]
        atheris.Setup(["fuzz", *limits, "-timeout=60", corpus], one)
        atheris.Fuzz()


def main() -> int:
    """Fuzz all targets, or one, each in a process of its own, and print how many inputs it took."""
    if sys.argv[1:2] == ["--one"]:
        fuzz(sys.argv[2], int(sys.argv[3]))
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    broken = 0
    for name in sys.argv[2:] or list(targets()):
        command = [sys.executable, "-m", "tests.proof.fuzz", "--one", name, str(seconds)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        runs = re.search(r"Done (\d+) runs", done.stderr)
        parts = re.findall(r"cov: (\d+)", done.stderr)
        broken += done.returncode != 0
        told = f"{int(runs[1]):,} inputs, {parts[-1]} places reached" if runs and parts else done.stderr[-3000:]
        print(f"{name}: {told}", flush=True)
    return broken


if __name__ == "__main__":
    sys.exit(main())
