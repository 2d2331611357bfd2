"""Write mmsb/create/authors.json: python -m tools.digest_authors PROCESSED_QUESTIONS_FOLDER."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from mmsb.create.authors import FILE, record_digest


def main(folder: Path) -> None:
    """Digest every record of every scenario."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        records = json.loads(path.read_text(encoding="utf-8"))
        found[path.stem] = {key: record_digest(record) for key, record in records.items()}
    lines = [f" {json.dumps(name)}: {json.dumps(digests)}" for name, digests in found.items()]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
