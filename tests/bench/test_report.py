"""The HTML report in a real browser, without a network."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., int]

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")


@pytest.fixture
def report(run: Run, folder: Path, tmp_path: Path) -> Path:
    evil = folder / "<img src=x onerror=alert(1)>.png"
    (folder / "grey.png").rename(evil)
    arguments = ("--rates", "0:1:0.25", "--rivals", "webp,jpeg420", "--report", "out.html")
    assert run("bench", folder, *arguments) == 0
    return tmp_path / "out.html"


def test_it_is_one_file(report: Path) -> None:
    text = report.read_text()
    assert "default-src 'none'" in text
    visible = text.partition("</main>")[0].partition("<main>")[2]
    assert "http" not in visible
    assert "<img src=x" not in visible


@pytest.fixture
def page(report: Path) -> Iterator[Any]:
    """The report in headless Chromium; nothing may be said on the console or asked of the network."""
    if CHROMIUM is None:
        pytest.skip("no Chromium")
    from playwright.sync_api import sync_playwright

    heard: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 380, "height": 800})
        page.on("console", lambda message: heard.append(message.text))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("request", lambda request: heard.append(request.url[:80]))
        page.goto(report.as_uri())
        page.wait_for_selector("#chart .scatterlayer .trace")
        yield page
        browser.close()
    asked = [word for word in heard if not word.startswith(("data:", "blob:"))]
    assert asked == [report.as_uri()]


def traces(page: Any) -> int:
    count: int = page.locator("#chart .scatterlayer .trace").count()
    return count


def test_curves_are_drawn_and_chosen_by_keyboard(page: Any) -> None:
    assert traces(page) == 3
    page.locator("#codec-1").focus()
    page.keyboard.press("Space")
    assert traces(page) == 2
    page.locator("#metric").focus()
    page.keyboard.press("ArrowDown")
    assert "MS-SSIM" in page.locator("#chart .ytitle").text_content()
    page.select_option("#metric", label="Time to decode (s)")
    assert "Time to decode" in page.locator("#chart .ytitle").text_content()
    page.select_option("#of-picture", index=1)
    assert traces(page) == 2


def width(page: Any, side: str) -> int:
    """Of the picture on this side, once it is decoded."""
    image = f"document.getElementById('{side}-image')"
    pixels: int = page.evaluate(f"{image}.decode().then(() => {image}.naturalWidth)")
    return pixels


def test_the_page_fits_a_narrow_screen(page: Any) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= 380


def test_the_slider_moves(page: Any) -> None:
    clip = "getComputedStyle(document.getElementById('right-layer')).clipPath"
    assert "50%" in page.evaluate(clip)
    page.locator("#slider").focus()
    page.keyboard.press("Home")
    assert "0%" in page.evaluate(clip)
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert "3%" in page.evaluate(clip)


def test_the_views_are_pictures_at_one_size(page: Any) -> None:
    assert width(page, "left") == width(page, "right") == 190
    assert page.locator("#left-tag").inner_text() == "original"
    sizes = []
    for index in (1, 2):
        page.select_option("#right", index=index)
        sizes.append(float(page.locator("#right-tag").inner_text().split(", ")[1].split()[0]))
    assert sizes[1] == pytest.approx(sizes[0], rel=0.15)
    page.select_option("#level", index=1)
    assert float(page.locator("#right-tag").inner_text().split(", ")[1].split()[0]) > sizes[1]
    page.select_option("#picture", index=1)
    assert width(page, "left") == 176


def test_zoom_by_keyboard(page: Any) -> None:
    transform = "document.getElementById('left-image').style.transform"
    page.locator("#viewport").focus()
    for _ in range(4):
        page.keyboard.press("+")
    assert "scale(4)" in page.evaluate(transform)
    before = page.evaluate(transform)
    page.keyboard.press("ArrowRight")
    assert page.evaluate(transform) != before
    page.keyboard.press("0")
    assert "scale(1)" in page.evaluate(transform)
    assert "translate(0px, 0px)" in page.evaluate(transform)
