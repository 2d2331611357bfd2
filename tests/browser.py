"""A real browser for tests: Chromium, headless, through Selenium. Where there is none, tests skip and say so."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
AXE = "axe-core@4.14.1"  # MPL-2.0; fetched for the test, part of nothing here
QUIET = ("no-first-run", "disable-background-networking", "disable-component-update", "disable-sync", "disable-quic")
FLAGS = ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "force-device-scale-factor=1", *QUIET)


class Browser:
    """Chromium with one window, and what a test asks of it."""

    def __init__(self, downloads: Path) -> None:
        """Start it; downloads land in the given folder."""
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        assert CHROMIUM
        assert DRIVER
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for flag in FLAGS:
            options.add_argument(f"--{flag}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(DRIVER))
        self.downloads = downloads
        self.cdp("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))

    def cdp(self, command: str, **values: Any) -> Any:
        """A command of the DevTools protocol."""
        return self.driver.execute_cdp_cmd(command, values)

    def size(self, width: int, height: int = 900, scheme: str = "light") -> None:
        """A screen of this size, light or dark."""
        self.cdp(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        self.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, page: Path | str, address: str = "") -> Browser:
        """Open a page and wait until its samples are there."""
        url = page.absolute().as_uri() if isinstance(page, Path) else page
        self.driver.get("about:blank")
        self.complaints()
        self.driver.get(url + address)
        self.until("return document.body.dataset.ready === 'yes'")
        return self

    def until(self, script: str, seconds: float = 20) -> Any:
        """Wait until a script gives something true."""
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.driver, seconds, 0.05).until(lambda driver: driver.execute_script(script))

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script returns, run in the page."""
        return self.driver.execute_script(script, *arguments)

    def text(self, selector: str) -> str:
        """The text of the first element."""
        return str(self.run("return document.querySelector(arguments[0]).textContent", selector))

    def texts(self, selector: str) -> list[str]:
        """The texts of all elements."""
        found: list[str] = self.run(
            "return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent)", selector
        )
        return found

    def press(self, *keys: str) -> None:
        """Press keys, wherever the focus is."""
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def complaints(self) -> list[str]:
        """What the browser's console holds: errors, warnings, breaches of the policy."""
        found: list[dict[str, str]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in found]


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The browser."""
    pytest.importorskip("selenium", reason="selenium is not here: pip install '.[dev]'")
    if not CHROMIUM or not DRIVER:
        pytest.skip("no browser here: apt-get install chromium chromium-driver")
    browser = Browser(tmp_path_factory.mktemp("downloads"))
    yield browser
    browser.driver.quit()


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The accessibility checker's script: the file that MMSB_AXE names, or from the npm registry."""
    if "MMSB_AXE" in os.environ:
        return Path(os.environ["MMSB_AXE"]).read_text(encoding="utf-8")
    folder = tmp_path_factory.mktemp("axe")
    npm = shutil.which("npm")
    if not npm or subprocess.run([npm, "pack", AXE], cwd=folder, capture_output=True, timeout=60).returncode:
        pytest.skip("axe-core is not here: set MMSB_AXE to its axe.min.js")
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        archive.extractall(folder, filter="data")
    return (folder / "package/axe.min.js").read_text(encoding="utf-8")
