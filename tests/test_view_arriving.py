"""`vrcodec view`: a file in levels, as it arrives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.browser import Heard, fits_the_screen, opened, width
from tests.conftest import GOLDEN
from tests.levels import level_ends
from vrcodec.bitstream.inspection import inspect
from vrcodec.codec import Decoder
from vrcodec.limits import DEFAULT_LIMITS
from vrcodec.picture.reading import open_picture
from vrcodec.viewer.images import DecodedFile, PageImage
from vrcodec.viewer.page import build_resources
from vrcodec.viewer.server import serve

LADDER = (GOLDEN / "qarv_photograph.vrc").read_bytes()
# Notes what the right side says, when, in milliseconds, and whether its picture is hidden.
WATCH = """
window.seen = [];
new MutationObserver(() => {
  const words = document.getElementById("right-tag").textContent;
  seen.push([words, performance.now(), document.getElementById("right-image").hidden]);
}).observe(document.getElementById("right-tag"), { childList: true });
"""


def views(data: bytes) -> list[PageImage]:
    """The images of a file, beside its original."""
    original = open_picture(GOLDEN / "photograph.png")
    return DecodedFile.decode(data, Decoder(), inspect(data), DEFAULT_LIMITS, original).images()


@contextmanager
def shown(images: list[PageImage]) -> Iterator[tuple[Any, Heard]]:
    with (
        serve(build_resources("a.vrc", {}, images, 130, 131)) as address,
        opened(address) as (page, heard),
    ):
        yield page, heard
    assert heard.said == []


def test_a_level_needs_the_file_up_to_its_end() -> None:
    original, *levels = views(LADDER)
    assert original.needed_bytes is None
    ends = level_ends(LADDER)[-len(levels) :]
    # Behind the last level are a few bytes of checksum.
    assert [view.needed_bytes for view in levels[:-1]] == [
        end + len(LADDER) - ends[-1] for end in ends[:-1]
    ]
    assert levels[-1].needed_bytes == len(LADDER)


def test_levels_appear_in_turn_and_never_before_their_bytes() -> None:
    original, *levels = views(LADDER)
    with shown([original, *levels]) as (page, heard):
        assert fits_the_screen(page)
        page.evaluate(WATCH)
        page.select_option("#speed", label="5 kB/s")
        page.click("#play")
        size = f"{len(LADDER) / 1000:.1f}"
        page.locator("#arrived", has_text=f"{size} of {size} kB after ").wait_for()
        (nothing, start, hidden), *arrived = page.evaluate("seen")
        assert nothing == "nothing to see yet"
        assert hidden
        titles = [view.title for view in levels]
        order = [titles.index(words) for words, _, _ in arrived]
        assert order == sorted(set(order))
        assert order[-1] == len(levels) - 1
        for index, (_, time, hidden) in zip(order, arrived, strict=True):
            assert not hidden
            # Bytes a millisecond; less what lies between the words and the beginning of the clock.
            assert (time - start + 5) * 5 >= (levels[index].needed_bytes or 0)
        assert width(page, "right") == 130
        assert page.locator("#right").input_value() == str(len(levels))
        assert page.locator("#progress").evaluate("e => e.value") == 1
        # It was asked for once, and is there again.
        asked = [url.rpartition("/")[2] for url in heard.asked]
        assert sorted(name for name in asked if name.startswith("level-")) == sorted(
            view.name for view in levels[:-1]
        )


def test_a_choice_ends_the_arrival() -> None:
    with shown(views(LADDER)) as (page, _):
        page.evaluate("SPEEDS[0] = 1e-6")
        page.select_option("#speed", index=0)
        page.click("#play")
        page.locator("#right-image").wait_for(state="hidden")
        page.select_option("#right", index=1)
        assert page.locator("#right-image").is_visible()
        assert "level" in page.locator("#right-tag").inner_text()


def test_what_comes_at_once_has_no_arrival() -> None:
    with shown(views((GOLDEN / "photograph.vrc").read_bytes())) as (page, _):
        assert not page.locator("#play").is_visible()


def test_a_level_that_cannot_be_had_is_said() -> None:
    """The images are served until the command ends."""
    original, *levels = views(LADDER)
    with (
        serve(build_resources("a.vrc", {}, [original, *levels], 130, 131)) as address,
        opened(address) as (page, _),
    ):
        page.route("**/level-7.png", lambda route: route.abort())
        page.click("#play")
        page.locator("#arrived", has_text="is vrcodec view still running?").wait_for()
        assert page.locator("#right-image").is_visible()
