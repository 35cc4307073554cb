"""`vrcodec view`: what is shown, to whom, and until when."""

from __future__ import annotations

import http.client
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from tests.browser import fits_the_screen, opened, width
from tests.conftest import GOLDEN, ROOT, random_map
from vrcodec.bitstream.inspection import inspect
from vrcodec.bitstream.quality_map import QualityMap
from vrcodec.bitstream.rate_setting import RateSetting
from vrcodec.codec import Decoder, Encoder
from vrcodec.errors import CorruptError, OutputError
from vrcodec.limits import DEFAULT_LIMITS
from vrcodec.maps.levels import levels_per_pixel
from vrcodec.picture.reading import open_picture
from vrcodec.viewer.images import DecodedFile
from vrcodec.viewer.page import build_resources
from vrcodec.viewer.server import Resource, serve

Run = Callable[..., int]

LADDER = (GOLDEN / "qarv_photograph.vrc").read_bytes()
ORIGINAL = GOLDEN / "photograph.png"
EVIL = "<img src=x onerror=alert(1)>"


def decode(data: bytes, original: Path | None = None) -> DecodedFile:
    picture = open_picture(original) if original else None
    return DecodedFile.decode(data, Decoder(), inspect(data), DEFAULT_LIMITS, picture)


def pixels(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        return np.asarray(image)


@pytest.fixture
def mapped(photograph: np.ndarray) -> bytes:
    """A file with a quality map."""
    picture = open_picture(ORIGINAL)
    return Encoder("qmap").encode(picture, RateSetting(30_000, qmap=random_map(picture)))


# What there is to see.


def test_every_level_can_be_seen() -> None:
    shown = decode(LADDER)
    views = shown.images()
    count = len(inspect(LADDER).levels)
    assert 1 < shown.first_level < count
    assert f"level {shown.first_level} of {count}, 0.418 bpp" in views[0].title
    assert len(views) == count + 1 - shown.first_level
    for number, view in enumerate(views, shown.first_level):
        expected = Decoder().decode(LADDER, number).to_array()
        assert (pixels(view.encode_png()) == expected).all()


def test_the_map_is_shown_where_it_lies(mapped: bytes) -> None:
    (view,) = [view for view in decode(mapped).images() if view.name == "map.png"]
    shown = pixels(view.encode_png())
    assert shown.shape == pixels(ORIGINAL.read_bytes()).shape[:2]
    assert len(np.unique(shown)) > 5
    rows, columns = QualityMap.grid_shape(*shown.shape[::-1])
    cell = levels_per_pixel(np.arange(rows * columns).reshape(rows, columns), *shown.shape[::-1])
    assert all(len(np.unique(shown[cell == number])) == 1 for number in range(rows * columns))


def test_the_original_is_compared() -> None:
    shown = decode(LADDER, ORIGINAL)
    assert [view.name for view in shown.images()[:2]] == ["original.png", "level-6.png"]
    (words,) = shown.compare_original().values()
    assert float(words.split()[1]) > 20
    assert decode(LADDER).compare_original() == {}


def test_a_picture_without_a_model_is_its_original(tmp_path: Path) -> None:
    bilevel = np.indices((40, 60)).sum(axis=0) % 3 > 0
    path = tmp_path / "bilevel.png"
    Image.fromarray(bilevel).save(path)
    shown = decode(Encoder("gained").encode(open_picture(path), 0), path)
    assert [view.name for view in shown.images()] == ["original.png", "decoded.png"]
    assert all((pixels(view.encode_png()) == bilevel).all() for view in shown.images())
    assert shown.compare_original() == {"against the original": "no pixel differs"}


def test_alpha_is_shown(tmp_path: Path) -> None:
    picture = open_picture(ORIGINAL)
    alpha = np.indices((picture.height, picture.width)).sum(axis=0).astype(np.uint8)
    path = tmp_path / "alpha.png"
    Image.fromarray(np.dstack([picture.pixels, alpha])).save(path)
    shown = decode(Encoder("gained").encode(open_picture(path), 0), path)
    assert all((pixels(view.encode_png())[..., 3] == alpha).all() for view in shown.images())
    assert shown.compare_original() == {}


# To whom, and until when.


def answer(address: str, **changes: object) -> http.client.HTTPResponse:
    """Of the server at ``address`` to a request that differs by ``changes`` from what a browser asks."""
    parts = urlsplit(address)
    asked = {"method": "GET", "path": parts.path, "hosts": [parts.netloc], **changes}
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=10)
    connection.putrequest(str(asked["method"]), str(asked["path"]), skip_host=True)
    assert isinstance(asked["hosts"], list)
    for host in asked["hosts"]:
        connection.putheader("Host", host)
    connection.endheaders()
    response = connection.getresponse()
    response.body = response.read()  # type: ignore[attr-defined]
    return response


@pytest.fixture
def address() -> Iterator[str]:
    def broken() -> bytes:
        raise CorruptError("damaged")

    found = {"": Resource("text/plain", lambda: b"page"), "broken": Resource("image/png", broken)}
    with serve(found) as address:
        yield address


def test_what_is_asked_rightly_is_answered(address: str) -> None:
    assert urlsplit(address).hostname == "127.0.0.1"
    for hosts in (["127.0.0.1"], ["localhost:1234"]):
        response = answer(address, hosts=hosts)
        assert (response.status, response.body) == (200, b"page")  # type: ignore[attr-defined]
    policy = str(response.headers["Content-Security-Policy"])
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert response.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("hosts", [[], ["evil.example"], ["127.0.0.1.evil.example"], ["a", "a"]])
def test_other_hosts_are_refused(address: str, hosts: list[str]) -> None:
    assert answer(address, hosts=hosts).status == 403


def test_nothing_is_to_be_had_without_the_token(address: str) -> None:
    path = urlsplit(address).path
    assert len(path) > 20
    with serve({}) as other:
        assert urlsplit(other).path != path
    paths = ("/", "", "//", path[:-1], path[:-2] + "/", "/x" + path, path.swapcase())
    paths += (path + "?", path + "view.js", path + "../", path + "%2e%2e/etc/passwd")
    for wrong in paths:
        assert answer(address, path=wrong).status == 404, wrong


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "HEAD"])
def test_nothing_can_be_done_but_looking(address: str, method: str) -> None:
    assert answer(address, method=method).status == 501


def test_a_fault_is_said(address: str) -> None:
    response = answer(address, path=urlsplit(address).path + "broken")
    assert (response.status, response.body) == (500, b"damaged")  # type: ignore[attr-defined]


def test_it_is_closed_at_the_end() -> None:
    with serve({}) as address:
        pass
    with pytest.raises(ConnectionRefusedError):
        answer(address)


def test_a_port_that_is_taken(address: str) -> None:
    port = urlsplit(address).port
    assert port
    with pytest.raises(OutputError, match=str(port)), serve({}, port):
        pass


# The command.


@contextmanager
def running(*arguments: object, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`vrcodec view` in a process of its own, and the address it gives; ended by Ctrl-C."""
    process = subprocess.Popen(
        [sys.executable, "-m", "vrcodec", "view", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        yield process, process.stdout.readline().strip()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.communicate()


def test_the_command_opens_the_browser_and_ends(tmp_path: Path, vrc_file: Path) -> None:
    program, opened_address = tmp_path / "browser", tmp_path / "address"
    program.write_text(f'#!/bin/sh\necho "$1" > "{opened_address}"\n')
    program.chmod(0o755)
    with running(vrc_file, BROWSER=f"{program} %s") as (_, address):
        assert b"photograph.vrc" in answer(address).body  # type: ignore[attr-defined]
        assert answer(f"{address}decoded.png").status == 200
    assert opened_address.read_text().strip() == address
    with pytest.raises(ConnectionRefusedError):
        answer(address)


def test_an_original_of_another_size(
    run: Run, vrc_file: Path, picture_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("view", vrc_file, "--original", picture_file, "--no-browser") == 2
    assert "is 200x150, and" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "option", "choice", "without"),
    [("pages.gif", "--frame", "1", "--frame"), ("odd.png", "--icc", "strip", "--icc strip")],
)
def test_an_original_is_read_as_encode_was_told_to(
    run: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    option: str,
    choice: str,
    without: str,
) -> None:
    pages = [Image.new("L", (9, 9), grey) for grey in (0, 255)]
    pages[0].save(tmp_path / "pages.gif", save_all=True, append_images=pages[1:])
    Image.new("L", (9, 9)).save(tmp_path / "odd.png", icc_profile=b"damaged")
    vrc = tmp_path / "a.vrc"
    original = ("--original", tmp_path / name, "--no-browser")
    assert run("encode", name, option, choice, "-o", vrc) == 0
    assert run("view", vrc, *original) == 3
    assert without in capsys.readouterr().err
    with running(vrc, *original, option, choice) as (_, address):
        assert b"no pixel differs" in answer(address).body  # type: ignore[attr-defined]


def test_what_is_no_vrc_file_is_not_shown(run: Run) -> None:
    assert run("view", ORIGINAL, "--no-browser") == 4


# In a browser.


@contextmanager
def shown(data: bytes, original: Path | None = None) -> Iterator[object]:
    """The page of a file of an evil name; nothing may be asked for elsewhere, or said on the console."""
    found = decode(data, original)
    size = found.picture.width, found.picture.height
    fields = {"file": EVIL, "picture": "130x131", **found.compare_original()}
    served = serve(build_resources(EVIL, fields, found.images(), *size))
    with served as address, opened(address) as (page, heard):
        yield page
    assert heard.said == []
    assert all(url.startswith(address) for url in heard.asked)


def test_levels_and_original_under_the_slider() -> None:
    with shown(LADDER, ORIGINAL) as page:
        assert fits_the_screen(page)
        assert page.title() == page.locator("h1").text_content() == EVIL
        assert EVIL in page.locator("#fields").text_content()
        assert "PSNR" in page.locator("#fields").text_content()
        assert width(page, "left") == width(page, "right") == 130
        assert page.locator("#left-tag").inner_text() == "original"
        assert "decoded" in page.locator("#right-tag").inner_text()
        page.select_option("#right", index=2)
        assert width(page, "right") == 130
        assert "level 7 of 9" in page.locator("#right-tag").inner_text()
        page.locator("#slider").focus()
        page.keyboard.press("End")
        clip = "getComputedStyle(document.getElementById('{}-layer')).clipPath"
        assert page.evaluate(clip.format("right")) == "inset(0px 0px 0px 100%)"
        # What is transparent on one side must not show the other.
        assert page.evaluate(clip.format("left")) == "inset(0px 0% 0px 0px)"


def test_the_map_over_the_picture(mapped: bytes) -> None:
    with shown(mapped) as page:
        assert "quality map" in page.locator("#left-tag").inner_text()
        assert width(page, "left") == width(page, "right") == 130
        assert page.locator("#slider").is_visible()


def test_a_picture_alone_needs_no_slider(vrc_file: Path) -> None:
    with shown(vrc_file.read_bytes()) as page:
        assert width(page, "right") == 130
        for name in ("#slider", "#divider", "#left", "#right", "#left-tag"):
            assert not page.locator(name).is_visible()
        assert page.locator("#zoom").is_visible()
