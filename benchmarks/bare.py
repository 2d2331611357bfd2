"""The openai client by itself, as its documentation shows it: the yardstick for `benchmarks.endpoint`.

python -m benchmarks.bare <base url> <dataset folder> <concurrency>
"""

from __future__ import annotations

import asyncio
import base64
import sys
from pathlib import Path

from openai import AsyncOpenAI


async def main(url: str, folder: Path, concurrency: int) -> None:
    client = AsyncOpenAI(base_url=url, api_key="none", max_retries=0, timeout=600)
    gate = asyncio.Semaphore(concurrency)

    async def ask(picture: Path) -> str:
        async with gate:
            data = base64.b64encode(picture.read_bytes()).decode()
            reply = await client.chat.completions.create(
                model="bench",
                max_tokens=512,
                temperature=0,
                messages=[
                    {
                        "role": "user",
                        "content": [
                            {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}},
                            {"type": "text", "text": f"What is in {picture.name}?"},
                        ],
                    }
                ],
            )
            return reply.choices[0].message.content or ""

    await asyncio.gather(*(ask(picture) for picture in sorted(folder.glob("imgs/*/SD/*.jpg"))))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
