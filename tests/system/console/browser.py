"""Headless Chromium, operated by keyboard alone."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest

T = TypeVar("T")
PATIENCE = 60.0
MOST_STOPS = 150
SWITCHES = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-lcd-text")
VISIBLE = """
const it = document.activeElement, box = it.getBoundingClientRect(), style = getComputedStyle(it);
return box.width > 0 && box.height > 0 && style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
"""


class Browser:
    """A browser for the server at `address`. Nothing is clicked."""

    def __init__(self, driver: Any, address: str) -> None:
        self.driver = driver
        self.address = address

    def open(self, path: str) -> None:
        self.driver.get(self.address + path)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def press(self, *keys: str) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def text(self, selector: str) -> str:
        """The text of an element, once it exists."""
        return str(self.once(lambda: self.run("return document.querySelector(arguments[0])?.innerText", selector)))

    def once(self, holds: Callable[[], T]) -> T:
        """Wait until `holds` returns a true value; returns it."""
        from selenium.webdriver.support.wait import WebDriverWait

        found: T = WebDriverWait(self.driver, PATIENCE, poll_frequency=0.05).until(lambda _: holds())
        return found

    def await_update(self, panel: str) -> None:
        """Wait until the panel shows another time."""
        before = self.text(f"{panel} time")
        self.once(lambda: self.text(f"{panel} time") != before)

    def focused(self) -> str:
        """The focused element, in the words of a screen reader."""
        script = "const it = document.activeElement; return it.innerText || it.labels?.[0]?.innerText || it.id || ''"
        return " ".join(str(self.run(script)).split())

    def tab_to(self, words: str) -> None:
        """Press Tab until the focused element begins with these words. Each element must show that it has the focus."""
        for _ in range(MOST_STOPS):
            self.press("\ue004")
            assert self.run(VISIBLE), f"the focus is invisible on {self.focused()!r}"
            if self.focused().startswith(words):
                return
        raise AssertionError(f"Tab does not reach {words!r}")

    def look(self, width: int, height: int, *, dark: bool = False) -> None:
        """Emulate a screen of this size, and the dark color scheme if `dark`."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def complaints(self) -> list[str]:
        """The errors in the browser's log, such as a script blocked by the content security policy, or a 404."""
        return [line["message"] for line in self.driver.get_log("browser") if line["level"] == "SEVERE"]


@contextmanager
def chromium(address: str) -> Iterator[Browser]:
    """The distribution's Chromium. Skips if it, its driver or selenium is missing."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is missing: run `make .venv/.browser`")
    from selenium.webdriver.chrome.service import Service

    places = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in places:
        pytest.skip("Chromium is missing: install the packages chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = places[0]
    for switch in SWITCHES:
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(places[1]))
    try:
        yield Browser(driver, address)
    finally:
        driver.quit()
