"""The same questions through Inspect AI, in an environment of its own (it is not among this project's packages).

python benchmarks/peer.py <base url> <dataset folder> <concurrency>
"""

from __future__ import annotations

import sys
from pathlib import Path

from inspect_ai import Task, eval  # type: ignore[import-not-found]
from inspect_ai.dataset import Sample  # type: ignore[import-not-found]
from inspect_ai.model import (  # type: ignore[import-not-found]
    ChatMessageUser,
    ContentImage,
    ContentText,
    GenerateConfig,
    get_model,
)
from inspect_ai.scorer import includes  # type: ignore[import-not-found]


def main(url: str, folder: Path, concurrency: int) -> None:
    samples = [
        Sample(
            id=number,
            input=[ChatMessageUser(content=[ContentImage(image=str(picture)), ContentText(text="What is in it?")])],
            target="sorry",
        )
        for number, picture in enumerate(sorted(folder.glob("imgs/*/SD/*.jpg")))
    ]
    settings = GenerateConfig(max_connections=concurrency, max_tokens=512, temperature=0)
    model = get_model("openai/bench", config=settings, base_url=url, api_key="none", responses_api=False)
    [log] = eval(Task(dataset=samples, scorer=includes()), model=model, display="none", log_dir="logs", max_samples=64)
    if log.status != "success":
        sys.exit(f"{log.status}: {log.error}")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
