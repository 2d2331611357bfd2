"""The page in a real browser: what it shows, how it is worked, and that nothing in an answer ever runs."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from mmsb.labels.file import read_labels
from mmsb.report.columns import columns
from mmsb.report.finished import finished_runs
from mmsb.report.page import write_page
from mmsb.types import Sample
from tests.browser import Browser, axe, chromium
from tests.reporting import Made

__all__ = ["axe", "chromium"]

LONG = "long " + "x" * 1_000_000
HOSTILE = [
    "<script>window.executed = 1</script>",
    "</script><script>window.executed = 1</script>",
    "<img src=x onerror='window.executed = 1'><svg onload='window.executed = 1'>",
    "<a href='javascript:window.executed = 1' id=bait>x</a> [x](javascript:window.executed=1)",
    "<iframe src='data:text/html,<script>top.executed = 1</script>'></iframe>",
    "</div></details></article></main><!-- <style>*{display:none}</style> <base href='//evil.example/'>",
    "\x1b[31mred\x1b]0;title\x07 \x08\x08 \x9b",
    "\u202etxt.exe\u202c \u2066 \u2028 \ufeff",
    "=HYPERLINK(\"http://evil.example\") | @SUM(1) | \\input{/etc/passwd}",
    "null \0 null {{ 7 * 7 }} ${window.executed = 1} __proto__",
    LONG,
]  # fmt: skip


MADE_OF_TEXT = "#card script, #card iframe, #card a, #card style, #card svg, #card base"


def hostile(number: int, sample: Sample) -> dict[str, Any]:
    """An answer that attacks, wherever a model or judge can put text."""
    text = HOSTILE[number % len(HOSTILE)]
    if text is LONG:
        return {"response": text}
    said = {"response": text, "prompt": text, "system": text, "judge_reply": text, "flags": [text[:60]]}
    return said | {
        "judge_details": {text: text, "__proto__": text},
        "steps": [{"role": text, "prompt": text, "answer": text}],
    }


def found_by_words(number: int, sample: Sample) -> dict[str, Any]:
    return {"response": "A needle, in the answer." if number == 3 else "Hay."}


def refusing(number: int, sample: Sample) -> dict[str, Any]:
    return {} if number == 0 else {"label": "safe", "refusal": True, "response": "No."}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two modes without and with a defense, and harmless twins."""
    folder = tmp_path_factory.mktemp("page")
    scenarios = ("fraud", "sex", "hate_speech")
    for number, mode in enumerate(("text_only", "sd_typo")):
        Made(mode, scenarios=scenarios, answer=found_by_words).write(folder / f"runs/{2 * number}")
        Made(mode, "safety_prompt", scenarios=scenarios, answer=refusing).write(folder / f"runs/{2 * number + 1}")
    Made(dataset="benign", scenarios=scenarios).write(folder / "runs/4")
    return write_page(finished_runs(folder / "runs"), folder)


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("attacked")
    Made(answer=hostile).write(folder / "runs/0")
    return write_page(finished_runs(folder / "runs"), folder)


def counted(browser: Browser) -> int:
    return int(browser.text("#count").split(" ")[0].replace(",", ""))


def set_tool(browser: Browser, name: str, value: str) -> None:
    browser.run(
        "const tool = document.getElementById(arguments[0]); tool.value = arguments[1];"
        "tool.dispatchEvent(new Event('change')); tool.dispatchEvent(new Event('input'))",
        name,
        value,
    )


def spelled(text: str) -> str:
    """A text as the page spells it: letters that would act are named."""
    acting = {*range(0, 9), *range(11, 32), *range(127, 160), 0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F)}
    acting |= {*range(0x2066, 0x206A), 0xFEFF}
    return "".join(f"U+{ord(letter):04X}" if ord(letter) in acting else letter for letter in text)


def test_the_detector_sees_a_script_that_runs(chromium: Browser, tmp_path: Path) -> None:
    (tmp_path / "bad.html").write_text(f"<!doctype html><body data-ready=yes>{HOSTILE[0]}{HOSTILE[2]}")
    chromium.open(tmp_path / "bad.html")
    assert chromium.until("return window.executed") == 1


def test_nothing_in_an_answer_runs_and_nothing_of_it_is_lost(chromium: Browser, attacked: Path) -> None:
    chromium.open(attacked)
    chromium.run("document.getElementById('answers').click()")
    for number in range(16):
        text = HOSTILE[number % len(HOSTILE)]
        chromium.run("for (const part of document.querySelectorAll('#card details')) part.open = true")
        chromium.until("return document.querySelector('#card details.answer .text')")
        chromium.run("for (const more of document.querySelectorAll('#card .more')) more.click()")
        answers = chromium.run(
            "return [...document.querySelectorAll('#card details')]"
            ".filter((d) => d.firstChild.textContent === 'Answer').map((d) => d.querySelector('.text').textContent)"
        )
        assert answers == [spelled(text)]
        assert (
            chromium.run("return document.querySelectorAll('#card script, #card iframe, #card a, #card style').length")
            == 0
        )
        chromium.press("j")
    time.sleep(0.2)  # what an image that fails would run comes later
    assert chromium.run("return window.executed") is None
    assert chromium.run("return ({}).x") is None
    assert chromium.complaints() == []


def test_the_policy_stops_a_script_even_if_it_got_into_the_page(chromium: Browser, attacked: Path) -> None:
    chromium.open(attacked)
    chromium.run(
        "const s = document.createElement('script'); s.textContent = 'window.executed = 1'; document.body.append(s);"
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.executed=2\">')"
    )
    time.sleep(0.2)
    assert chromium.run("return window.executed") is None
    assert any("Content Security Policy" in line for line in chromium.complaints())


def test_the_page_shows_figures_tables_and_every_question(chromium: Browser, page: Path) -> None:
    chromium.size(1280)
    chromium.open(page)
    assert chromium.texts(".figures h2") == [
        "Attack success",
        "Effect of each defense",
        "What a defense brings and costs",
        "What a defense costs",
        "Heat map",
        "Radar",
    ]
    assert chromium.run(
        "return [...document.querySelectorAll('.chart svg')].every((svg) => svg.getBoundingClientRect().width > 150)"
    )
    assert counted(chromium) == 24 + 48
    assert chromium.complaints() == []


def test_one_click_shows_a_question_in_all_modes_with_its_picture(chromium: Browser, page: Path) -> None:
    chromium.open(page)
    chromium.run("document.querySelector('#line-2').click()")
    assert chromium.texts("#card h4") == ["none", "safety_prompt"]
    assert [text.split(" ")[0] for text in chromium.texts("#card h5")] == ["text_only", "sd_typo"] * 2
    assert (
        chromium.until("const i = document.querySelector('#card img'); return i && i.complete && i.naturalWidth") > 100
    )
    assert "Answer" in chromium.text("#card .cell")
    assert "Hay." not in chromium.text("#card .cell")  # hidden until it is asked for


@pytest.mark.parametrize(
    ("tool", "value", "expected"),
    [
        ("mark", "flipped", 23),
        ("mark", "benign", 48),
        ("mark", "disagree", 0),
        ("verdict", "safe", 23),
        ("scenario", "fraud", 8 + 16),
        ("text", "NEEDLE, in", 1),
        ("text", "<script", 0),
    ],
)
def test_filters_and_search_find_what_they_name(
    chromium: Browser, page: Path, tool: str, value: str, expected: int
) -> None:
    chromium.open(page)
    set_tool(chromium, tool, value)
    chromium.until(
        "return new URLSearchParams(location.hash.slice(1)).get(arguments[0])".replace("arguments[0]", f"'{tool}'")
    )
    assert counted(chromium) == expected


def test_the_keyboard_is_enough(chromium: Browser, page: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    chromium.open(page)
    first = chromium.text("#card h3")
    chromium.press("j")
    second = chromium.text("#card h3")
    chromium.press("k")
    assert chromium.text("#card h3") == first != second
    chromium.press("a")
    chromium.until("return document.querySelector('#card details.answer .text')")
    chromium.press("/", "needle")
    chromium.until("return document.getElementById('count').textContent.startsWith('1 of')")
    chromium.press(Keys.ESCAPE, Keys.HOME, "]", "u")
    assert chromium.texts('#card [aria-pressed="true"]') == ["unsafe"]
    chromium.press("u")  # taken back
    assert chromium.texts('#card [aria-pressed="true"]') == []


def test_a_link_leads_to_the_same_view(chromium: Browser, page: Path) -> None:
    chromium.open(page)
    set_tool(chromium, "mark", "flipped")
    chromium.run("document.querySelector('#line-5').click()")
    address, heading = chromium.run("return location.hash"), chromium.text("#card h3")
    chromium.open(page, address)
    assert chromium.text("#card h3") == heading
    assert counted(chromium) == 23


def test_labels_become_a_file_that_calibration_reads(chromium: Browser, page: Path) -> None:
    chromium.open(page)
    chromium.run("localStorage.clear()")
    chromium.open(page)
    for key in ("s", "]", "u", "j", "u"):
        chromium.press(key)
    chromium.run("document.getElementById('rater').value = 'ann'; document.getElementById('download').click()")
    file = chromium.downloads / "labels.jsonl"
    for _ in range(100):
        if file.is_file() and file.stat().st_size:  # it stands there empty at first
            break
        time.sleep(0.05)
    found = read_labels(file).labelled
    file.unlink()
    assert [item.labels for item in found] == [{"ann": "safe"}, {"ann": "unsafe"}, {"ann": "unsafe"}]
    assert len({item.name for item in found}) == 3
    rows = {(run.values["id"], r["id"]): r for run in finished_runs(page.parent / "runs") for r in run.rows()}
    assert all(rows[item.run, item.id]["response"] == item.answer for item in found)


def test_a_harmless_twin_is_read_as_answered_or_refused(chromium: Browser, page: Path) -> None:
    chromium.open(page)
    set_tool(chromium, "mark", "benign")
    chromium.until("return document.querySelector('#line-0 .chips').textContent === '····A'")
    chromium.run("document.querySelector('#line-0').click()")
    assert chromium.texts("#card h5 .verdict") == ["answered"]


def test_verdicts_can_be_hidden_while_one_labels(chromium: Browser, page: Path) -> None:
    chromium.open(page)
    chromium.run("document.getElementById('blind').click()")
    assert chromium.run(
        "return [...document.querySelectorAll('.verdict')].every((v) => getComputedStyle(v).visibility === 'hidden')"
    )


def test_a_folder_in_chunks_opens_from_disk_with_its_pictures(chromium: Browser, page: Path, tmp_path: Path) -> None:
    runs = [column.run for column in columns([page.parent / "runs"])]
    made = write_page(runs, tmp_path, form="folder")
    assert (tmp_path / "data/00000.js").is_file()
    chromium.open(made)
    assert counted(chromium) == 72
    assert (
        chromium.until("const i = document.querySelector('#card img'); return i && i.complete && i.naturalWidth") > 100
    )
    assert chromium.complaints() == []


def test_it_works_in_a_sandboxed_frame_without_an_origin(chromium: Browser, page: Path, tmp_path: Path) -> None:
    (tmp_path / "frame.html").write_text(
        "<!doctype html><body data-ready=yes>"
        f"<iframe sandbox='allow-scripts' width=1000 height=900 src='{page.as_uri()}'>"
    )
    chromium.open(tmp_path / "frame.html")
    chromium.driver.switch_to.frame(0)
    chromium.until("return document.body && document.body.dataset.ready === 'yes'")
    assert counted(chromium) == 72
    chromium.run("document.querySelector('#line-1').click()")
    chromium.press("s")
    chromium.driver.switch_to.default_content()
    assert [line for line in chromium.complaints() if "SEVERE" in line or "Uncaught" in line] == []


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_no_barrier_for_anyone(chromium: Browser, page: Path, axe: str, width: int, scheme: str) -> None:
    chromium.size(width, scheme=scheme)
    chromium.open(page)
    chromium.run("for (const part of document.querySelectorAll('details')) part.open = true")
    chromium.cdp("Runtime.evaluate", expression=axe)
    chromium.cdp("Runtime.evaluate", expression="axe.run().then((found) => { window.found = found.violations; })")
    found = chromium.until("return window.found && JSON.stringify(window.found)", 60)
    barriers = [(v["id"], [node["target"] for node in v["nodes"]][:3]) for v in json.loads(found)]
    chromium.size(1280)
    assert barriers == []


def test_on_a_phone_nothing_sticks_out(chromium: Browser, page: Path) -> None:
    chromium.size(390, 844)
    chromium.open(page)
    assert chromium.run("return document.documentElement.scrollWidth") == 390
    # What is below a table stays in view while the table is moved; figures keep the size of their letters.
    captions = chromium.run(
        "return [...document.querySelectorAll('[open] caption span')].map((one) => one.offsetWidth)"
    )
    assert captions
    assert max(captions) <= 390
    assert chromium.run("return document.querySelector('#headline svg').getBoundingClientRect().width") > 390
    chromium.run("document.querySelector('#line-1').click()")
    assert chromium.run("return document.getElementById('card').getBoundingClientRect().width") == 390
    chromium.run("document.querySelector('.back').click()")
    assert chromium.run("return getComputedStyle(document.getElementById('card')).display") == "none"
    chromium.size(1280)
