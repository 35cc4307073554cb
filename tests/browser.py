"""Pages in a real browser, headless, without a network."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
NARROW = {"width": 380, "height": 800}


@dataclass
class Heard:
    """What a page said on its console, errors among it, and which addresses it asked for."""

    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


@contextmanager
def opened(address: str) -> Iterator[tuple[Any, Heard]]:
    """The page at ``address``, on a narrow screen. Skips the test where there is no Chromium."""
    if CHROMIUM is None:
        pytest.skip("no Chromium")
    from playwright.sync_api import sync_playwright

    heard = Heard()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport=NARROW)
        page.on("console", lambda message: heard.said.append(message.text))
        page.on("pageerror", lambda error: heard.said.append(str(error)))
        page.on("request", lambda request: heard.asked.append(request.url[:200]))
        page.goto(address)
        yield page, heard
        browser.close()


def fits_the_screen(page: Any) -> bool:
    """Whether nobody has to scroll sideways."""
    width: int = page.evaluate("document.documentElement.scrollWidth")
    return width <= NARROW["width"]


def width(page: Any, side: str) -> int:
    """Of the picture on this side of the slider, once it is decoded."""
    image = f"document.getElementById('{side}-image')"
    pixels: int = page.evaluate(f"{image}.decode().then(() => {image}.naturalWidth)")
    return pixels
