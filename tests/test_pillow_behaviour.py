"""What people do with images that Pillow opened: those of .vrc files behave as those of JPEG."""

from __future__ import annotations

import copy
import io
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps

import vrcodec
import vrcodec.pillow_plugin
from tests.conftest import GOLDEN, ROOT, Pixels, needs_torch, with_chunks
from vrcodec import api
from vrcodec.bitstream import schema
from vrcodec.picture.intake.icc_profile import SRGB_CURVE, rgb_profile

PROFILE = rgb_profile(SRGB_CURVE, (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06))
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'
SIZE = (200, 150)


def described() -> dict[str, object]:
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "a description", 1
    return {"icc_profile": PROFILE, "exif": exif, "xmp": XMP}


@pytest.fixture(params=["vrc", "jpg"])
def path(request: pytest.FixtureRequest, tmp_path: Path, photograph: Pixels) -> Path:
    """The same picture as either format."""
    path = tmp_path / f"picture.{request.param}"
    model = {"model": "gained"} if request.param == "vrc" else {}
    Image.fromarray(photograph).save(path, **described(), **model)
    return path


def decoded(path: Path) -> Pixels:
    """What the file of a test holds, by another way than the image under test."""
    if path.suffix == ".vrc":
        return np.asarray(vrcodec.open(path))
    with Image.open(path) as image:
        return np.asarray(image)


def test_what_is_known_before_loading(path: Path) -> None:
    with Image.open(path) as image:
        assert (image.size, image.mode, image.tell()) == (SIZE, "RGB", 0)
        assert image.info["icc_profile"] == PROFILE
        assert image.getexif()[0x010E] == "a description"
        assert image.info["xmp"] == XMP
        assert image.format == {".vrc": "VRC", ".jpg": "JPEG"}[path.suffix]
        assert image.get_format_mimetype() in ("image/x-vrc", "image/jpeg")
        assert image.fp is not None


def test_the_file_is_closed_once_it_is_loaded(path: Path) -> None:
    image = Image.open(path)
    file = image.fp
    image.load()
    assert file.closed
    assert image.fp is None
    with Image.open(path) as image:
        file = image.fp
    assert file.closed
    with path.open("rb") as file:
        image = Image.open(file)
        image.load()
        # That of the caller is his to close.
        assert not file.closed
        assert image.fp is None


def test_it_is_used_behind_its_context(path: Path) -> None:
    with Image.open(path) as image:
        image.load()
    assert (np.asarray(image) == decoded(path)).all()
    image.close()
    with pytest.raises(ValueError, match="closed"):
        image.load()


def test_pixels_can_be_set(path: Path) -> None:
    image = Image.open(path)
    image.load()[3, 4] = (1, 2, 3)
    image.putpixel((5, 6), (7, 8, 9))
    assert image.getpixel((3, 4)) == (1, 2, 3)
    assert image.copy().getpixel((5, 6)) == (7, 8, 9)


def test_it_has_one_frame(path: Path) -> None:
    with Image.open(path) as image:
        image.seek(0)
        with pytest.raises(EOFError):
            image.seek(1)
        assert not getattr(image, "is_animated", False)
        assert image.size == SIZE


def test_verify_closes_the_file(path: Path) -> None:
    image = Image.open(path)
    file = image.fp
    image.verify()
    assert file.closed


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(
    "use",
    [
        lambda image: pickle.loads(pickle.dumps(image)),
        copy.copy,
        copy.deepcopy,
        lambda image: image.copy(),
        lambda image: image.convert("RGB"),
        ImageOps.exif_transpose,
        lambda image: Image.merge("RGB", image.split()),
        lambda image: Image.fromarray(np.asarray(image)),
        lambda image: image.crop((0, 0, *SIZE)),
    ],
)
def test_copies_have_pixels_and_metadata(
    path: Path, use: Callable[[Image.Image], Image.Image], before: bool
) -> None:
    image = Image.open(path)
    if not before:
        image.load()
    used = use(image)
    assert (np.asarray(used) == decoded(path)).all()
    if used.info:
        assert used.getexif()[0x010E] == "a description"
        assert used.info["icc_profile"] == PROFILE


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.tif", "x.webp", "x.vrc"])
def test_it_can_be_saved_as_any_format(path: Path, name: str, tmp_path: Path) -> None:
    with Image.open(path) as image:
        kept = {"icc_profile": image.info["icc_profile"], "exif": image.getexif()}
        image.save(tmp_path / name, **kept)
    with Image.open(tmp_path / name) as again:
        assert again.getexif()[0x010E] == "a description"
        assert again.info["icc_profile"] == PROFILE
        assert again.size == SIZE


def test_it_can_be_saved_where_it_came_from(path: Path) -> None:
    with Image.open(path) as image:
        image.save(path)
    assert decoded(path).shape == (150, 200, 3)


@pytest.mark.parametrize("wanted", [(200, 150), (99, 74), (50, 37), (25, 18), (20, 60), (3, 2)])
def test_a_draft_is_no_smaller_than_asked_for(path: Path, wanted: tuple[int, int]) -> None:
    image = Image.open(path)
    mode, box = image.draft(None, wanted)
    assert mode == "RGB"
    # A second one has no effect.
    assert image.draft(None, (1, 1)) is None
    fitting = (s for s in (8, 4, 2) if s * wanted[0] <= 200 and s * wanted[1] <= 150)
    scale = next(fitting, 1)
    assert box == (0, 0, 200 / scale, 150 / scale)
    assert np.asarray(image).shape == (-(-150 // scale), -(-200 // scale), 3)


def test_thumbnails_are_those_of_the_whole_picture(path: Path) -> None:
    image, whole = Image.open(path), Image.fromarray(decoded(path))
    for one in (image, whole):
        one.thumbnail((30, 30))
    assert image.size == whole.size
    assert np.abs(np.asarray(image).astype(int) - np.asarray(whole)).mean() < 3
    # There is no draft of what is loaded.
    assert image.draft(None, (9, 9)) is None


def test_threads_share_an_image_and_have_their_own(path: Path) -> None:
    shared, expected = Image.open(path), decoded(path).tobytes()
    found: list[bool] = []

    def work() -> None:
        found.append(shared.tobytes() == expected)
        with Image.open(path) as own:
            found.append(own.tobytes() == expected)

    if path.suffix == ".jpg":
        # Threads of Pillow may not load a shared one at once.
        shared.load()
    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 12


LOADER = """
import sys
from pathlib import Path
import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
import vrcodec.pillow_plugin

class Pictures(Dataset):
    def __init__(self, paths):
        self.images = [Image.open(path) for path in paths]
    def __len__(self):
        return len(self.images)
    def __getitem__(self, index):
        return torch.from_numpy(np.array(self.images[index]))

if __name__ == "__main__":
    paths = [Path(sys.argv[1])] * 2
    expected = Pictures(paths)[0]
    for context in ("fork", "spawn"):
        loader = DataLoader(Pictures(paths), num_workers=2, multiprocessing_context=context, timeout=120)
        assert all((batch[0] == expected).all() for batch in loader), context
"""


@needs_torch
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_data_loader_has_them_in_its_workers(tmp_path: Path) -> None:
    (tmp_path / "loader.py").write_text(LOADER)
    subprocess.run(
        [sys.executable, "loader.py", GOLDEN / "photograph.vrc"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2"},
        check=True,
        timeout=300,
    )


def test_what_did_not_load_does_not_load_again(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if path.suffix == ".jpg":
        path.write_bytes(path.read_bytes()[:-3000])
    api._load_decoder.cache_clear()
    monkeypatch.setenv("VRCODEC_WEIGHTS", str(tmp_path))
    image = Image.open(path)
    for use in (np.asarray, lambda i: i.load(), copy.copy, pickle.dumps, np.asarray):
        with pytest.raises(OSError, match=r"not installed|truncated"):
            use(image)


def test_a_parser_finds_it_in_pieces(path: Path) -> None:
    data, parser = path.read_bytes(), ImageFile.Parser()
    for start in range(0, len(data), 500):
        parser.feed(data[start : start + 500])
    assert (np.asarray(parser.close()) == decoded(path)).all()


def test_pillows_limit_on_pixels_counts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 29_999)
    with pytest.warns(Image.DecompressionBombWarning):
        Image.open(path).load()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 14_999)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(path)


def test_formats_can_be_named(path: Path) -> None:
    other = {".vrc": "JPEG", ".jpg": "VRC"}[path.suffix]
    with Image.open(path, formats=["VRC", "JPEG"]) as image:
        assert image.size == SIZE
    with pytest.raises(OSError, match="cannot identify"):
        Image.open(path, formats=[other])


def test_a_prefix_loads_where_truncated_images_do(
    photograph: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = vrcodec.encode(photograph, model="qarv", lossless="never")
    for model, shown in (("qarv", True), ("gained", False)):
        data = vrcodec.encode(photograph, model=model, lossless="never")
        part = io.BytesIO(data[: len(data) * 3 // 4])
        with pytest.raises(OSError, match="truncated"):
            Image.open(part)
        monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
        if shown:
            image = Image.open(part)
            assert np.asarray(image).shape == photograph.shape
            levels, all_levels = image.info["levels"]
            assert 0 < levels < all_levels
        else:
            with pytest.raises(OSError, match="truncated"):
                Image.open(part)
        monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", False)


def test_verify_sees_damage_that_checksums_do_not(vrc_file: Path) -> None:
    data = with_chunks(schema.CHUNK_STREAM, vrc_file.read_bytes(), b"\xff" * 9)
    image = Image.open(io.BytesIO(data))
    with pytest.raises(OSError, match="byte 4 of a chunk"):
        image.verify()
