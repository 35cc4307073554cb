"""The HTML report in a real browser, without a network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bench.conftest import make_pictures
from tests.browser import fits_the_screen, opened, width
from tests.conftest import GOLDEN
from vrcodec.cli import main


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of three pictures, one of them of a hostile name."""
    folder = tmp_path_factory.mktemp("report")
    pictures = make_pictures(folder / "pictures")
    (pictures / "grey.png").rename(pictures / "<img src=x onerror=alert(1)>.png")
    arguments = ("--rates", "0:1:0.25", "--rivals", "webp,jpeg420")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VRCODEC_WEIGHTS", str(GOLDEN))
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        assert (
            main.run(["bench", str(pictures), *arguments, "--report", str(folder / "out.html")])
            == 0
        )
    return folder / "out.html"


def test_it_is_one_file(report: Path) -> None:
    text = report.read_text()
    assert "default-src 'none'" in text
    visible = text.partition("</main>")[0].partition("<main>")[2]
    assert "http" not in visible
    assert "<img src=x" not in visible


@pytest.fixture
def page(report: Path) -> Iterator[Any]:
    """The report in headless Chromium; nothing may be said on the console or asked of the network."""
    with opened(report.as_uri()) as (page, heard):
        page.wait_for_selector("#chart .scatterlayer .trace")
        yield page
    asked = [address for address in heard.asked if not address.startswith(("data:", "blob:"))]
    assert heard.said + asked == [report.as_uri()]


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


def test_the_page_fits_a_narrow_screen(page: Any) -> None:
    assert fits_the_screen(page)


def test_the_slider_moves(page: Any) -> None:
    clip = "getComputedStyle(document.getElementById('right-layer')).clipPath"
    assert "50%" in page.evaluate(clip)
    page.locator("#slider").focus()
    page.keyboard.press("Home")
    assert "0%" in page.evaluate(clip)
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert "3%" in page.evaluate(clip)


def shown_bpp(page: Any) -> float:
    found = re.search(r"([\d.]+) bpp", page.locator("#right-tag").inner_text())
    assert found is not None
    return float(found[1])


def test_the_views_are_pictures_at_one_size(page: Any) -> None:
    assert width(page, "left") == width(page, "right") == 190
    assert page.locator("#left-tag").inner_text() == "original"
    sizes = []
    for index in (1, 2):
        page.select_option("#right", index=index)
        sizes.append(shown_bpp(page))
    assert sizes[1] == pytest.approx(sizes[0], rel=0.15)
    page.select_option("#level", index=1)
    assert shown_bpp(page) > sizes[1]
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


def test_one_crop_of_all_codecs(page: Any) -> None:
    figures = page.locator("#crops figure")
    assert figures.count() == 4
    assert figures.nth(0).inner_text() == "original"
    position = "document.querySelectorAll('#crops .crop')[2].style.backgroundPosition"
    assert page.evaluate(position) == "50% 50%"
    page.locator("#across").focus()
    page.keyboard.press("Home")
    assert page.evaluate(position) == "0% 50%"
    shown = "document.querySelectorAll('#crops .crop')[2].style.backgroundImage"
    before = page.evaluate(shown)
    page.select_option("#level", index=1)
    assert page.evaluate(shown) != before


def test_blind_comparison(page: Any) -> None:
    """Always the same side: sides are random, and so are the tallies; but all choices are counted once."""
    assert page.locator("#blind-pair").is_hidden()
    page.locator("#blind-begin").click()
    # Three pictures at two sizes against two rivals.
    assert page.locator("#blind-progress").inner_text() == "1 of 12"
    assert "WebP" not in page.locator("#blind").inner_text()
    image = "document.getElementById('{}').style.backgroundImage"
    sides = [page.evaluate(image.format(side)) for side in ("blind-a", "blind-b")]
    assert sides[0] != sides[1]
    page.locator("#blind-original").check()
    originals = [page.evaluate(image.format(side)) for side in ("blind-a", "blind-b")]
    assert originals[0] == originals[1]
    assert originals[0] not in sides
    page.locator("#choose-none").click()
    assert not page.locator("#blind-original").is_checked()
    page.locator("#choose-b").focus()
    for _ in range(11):
        page.keyboard.press("Enter")
    assert page.locator("#blind-progress").inner_text() == "12 of 12 compared"
    rows = [row.split("\t") for row in page.locator("#blind-tally tr").all_inner_texts()]
    assert rows[0][0] == "against"
    assert [row[0] for row in rows[1:]] == ["JPEG 4:2:0", "WebP"]
    counts = [[int(cell) for cell in row[1:]] for row in rows[1:]]
    assert [sum(row) for row in counts] == [6, 6]
    assert sum(row[1] for row in counts) == 1
    page.locator("#blind-begin").click()
    page.locator("#blind-end").click()
    assert page.locator("#blind-progress").inner_text() == "0 of 12 compared"
