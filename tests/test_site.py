"""The documentation as a site: it builds offline and strictly, and no page of it asks another host for anything."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.documented import PAGES

LINK = re.compile(r"\]\(([^)\s]+)\)")
LOADED = re.compile(r"""<(?:script|link|img|iframe)[^>]*?\s(?:src|href)=["']?((?:https?:)?//[^"'\s>]+)""")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make docs` builds, somewhere else."""
    home = tmp_path_factory.mktemp("docs")
    shutil.copytree(ROOT / "docs", home / "docs")
    shutil.copy(ROOT / "zensical.toml", home)
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return home / "site"


def test_every_page_is_in_the_site_and_in_its_navigation(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs").with_suffix("").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert {path.stem for path in site.glob("*.html")} >= pages
    told = re.findall(r'"(\w+)\.md"', (ROOT / "zensical.toml").read_text(encoding="utf-8"))
    assert sorted(told) == sorted(pages)


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    asked = {(path.name, url) for path in site.glob("*.html") for url in LOADED.findall(path.read_text("utf-8"))}
    assert asked == set()
    assert LOADED.search('<script async src="https://unpkg.com/x"></script>')


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_a_page_links_to_is_there(page: Path) -> None:
    """Within the project: docs/ links to nothing outside it, which the site would not have."""
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"https?://", link):
            continue
        file, _, anchor = link.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), link
        assert not page.is_relative_to(ROOT / "docs") or there.is_relative_to(ROOT / "docs"), link
        assert not anchor or anchor in anchors(there), link


def anchors(page: Path) -> set[str]:
    """Its headings as links name them."""
    texts = HEADING.findall(page.read_text(encoding="utf-8"))
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", text.lower())).strip("-") for text in texts}
