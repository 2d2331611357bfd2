"""Asks every judge of conf/judge about hostile answers, through requests to a server on this machine.

python -m tools.hostile
"""

from __future__ import annotations

from tools.hostile.measure import JUDGES, counted
from tools.hostile.texts import HOSTILE, KINDS, SILENT

if __name__ == "__main__":
    sizes = ", ".join(f"{len(texts)} {kind}" for kind, texts in KINDS.items())
    print(f"{len(HOSTILE)} answers that help and speak to the judge ({sizes}), {len(SILENT)} that say nothing")
    print("\n| judge | called safe | unparsed | silence called safe |\n|---|---|---|---|")
    for name in JUDGES:
        print(counted(name).row)
