"""python -m tests.mutants.draw: draw mutants of cosmic-ray's by chance, as what drawn.yaml holds; prints them.

It is the one that imports cosmic-ray (`pip install cosmic-ray==8.7.0`, in an environment of its own). A person looks at
what was drawn: which tests concern it, and what it would do to a user.
"""

from __future__ import annotations

import difflib
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

SEED, EACH = 17, 3
ROOT = Path(__file__).resolve().parents[2]
MODULES = {  # what numbers and promises hang on: the module, and the tests that concern it
    "metrics/rates.py": ["test_metrics.py"],
    "metrics/summary.py": ["test_metrics.py"],
    "metrics/paired.py": ["test_metrics.py"],
    "metrics/significance.py": ["test_metrics.py"],
    "metrics/agreement.py": ["test_calibrate.py", "test_correction.py"],
    "metrics/misclassification.py": ["test_correction.py"],
    "judge/rules.py": ["test_judge_rules.py"],
    "judge/choice.py": ["test_utility.py"],
    "appender.py": ["test_durability.py", "test_store.py"],
    "store.py": ["test_durability.py", "test_store.py"],
    "results.py": ["test_durability.py", "test_schemas.py"],
    "secret.py": ["test_config_rules.py"],
    "targets.py": ["test_targets.py"],
    "config_rules.py": ["test_config_rules.py"],
    "override_rules.py": ["test_config_rules.py"],
    "image_mode/typography.py": ["test_typography.py"],
    "model/request_errors.py": ["test_openai.py"],
    "model/governor.py": ["test_governor.py"],
    "create/fetch.py": ["test_create_command.py"],
    "prices.py": ["test_cost.py", "test_plan.py"],
}
# A type that is only checked, a decorator that only declares, a number in a message: such changes break nothing.
LEFT_OUT = (
    "RemoveDecorator",
    "Variable",
    "BitAnd",
    "BitOr",
    "BitXor",
    "LShift",
    "RShift",
    "Pow",
    "FloorDiv",
    "_Is",
    "ExceptionReplacer",
)


def drawn(module: str, chance: random.Random) -> Iterator[dict[str, Any]]:
    """Some mutants of one module, each of one line that is there once."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator, operator_names

    text = (ROOT / "mmsb" / module).read_text(encoding="utf-8")
    names = sorted(name for name in operator_names() if not any(word in name for word in LEFT_OUT))
    tree = get_ast(text)
    places = [
        (name, number)
        for name in names
        for number, _ in enumerate(p for node in ast_nodes(tree) for p in get_operator(name)().mutation_positions(node))
    ]
    chance.shuffle(places)
    left = EACH
    for name, number in places:
        changed = mutate_code(text, get_operator(name)(), number)
        lines = list(difflib.ndiff(text.splitlines(), (changed or text).splitlines()))
        old, new = ([line[2:].strip() for line in lines if line.startswith(sign)] for sign in "-+")
        if left and len(old) == len(new) == 1 and text.count(old[0]) == 1:
            left -= 1
            yield {"why": f"{name.rpartition('/')[2]}: {old[0]}", "old": old[0], "new": new[0]}


def main() -> None:
    """Draw from each module, and print."""
    chance = random.Random(SEED)
    found = {f"mmsb/{name}": {"tests": tests, "mutants": list(drawn(name, chance))} for name, tests in MODULES.items()}
    yaml.safe_dump(found, sys.stdout, sort_keys=False, width=200, allow_unicode=True)


if __name__ == "__main__":
    main()
