"""The page of what guards send is what they send."""

from __future__ import annotations

from mmsb.paths import conf_dir
from tools.guard_requests import page


def test_the_page_of_guards_requests_is_up_to_date_and_both_sides_are_the_same() -> None:
    made = page()
    assert (conf_dir().parent / "docs/guards.md").read_text(encoding="utf-8") == made, (
        "run python -m tools.guard_requests docs/guards.md"
    )
    lines = [line for line in made.splitlines() if line.startswith("| `")]
    assert len(lines) == 16 + 24  # guards, and published numbers
    assert not [line for line in lines if "| NO |" in line]
    assert sum("| yes |" in line for line in lines) == 15  # GuardReasoner-Omni has no model for this process
