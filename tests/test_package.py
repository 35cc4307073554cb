"""The wheel works away from the checkout, weights included."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import ROOT, Pixels
from vrcodec import catalog


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which a wheel built from this checkout was installed."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q"]
    subprocess.run([*build, "-w", str(folder), str(ROOT)], check=True)
    (wheel,) = folder.glob("*.whl")
    target = folder / "site"
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "-q", "--target", str(target)]
    subprocess.run([*install, str(wheel)], check=True)
    return target


def test_an_installed_package_finds_its_weights(
    installed: Path, tmp_path: Path, photograph: Pixels
) -> None:
    Image.fromarray(photograph).save(tmp_path / "picture.png")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("VRCODEC")}
    environment["PYTHONPATH"] = str(installed)

    def vrcodec(*arguments: str) -> str:
        result = subprocess.run(
            [sys.executable, "-m", "vrcodec", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    assert str(installed) in vrcodec("models", "--json")
    vrcodec("encode", "picture.png")
    vrcodec("decode", "picture.vrc", "-o", "decoded.png")
    with Image.open(tmp_path / "decoded.png") as image:
        assert image.size == (200, 150)


def test_nothing_but_the_package_is_installed(installed: Path) -> None:
    names = {path.name.partition("-")[0] for path in installed.iterdir()}
    assert names <= {"vrcodec", "bin", "share"}
    shared = {path.name for path in (installed / "share").rglob("*") if path.is_file()}
    assert shared == {"vrcodec.1", "vrcodec.xml", "vrcodec", "vrcodec.desktop"}


def test_every_file_of_the_package_is_installed(installed: Path) -> None:
    files = {path.relative_to(ROOT) for path in (ROOT / "vrcodec").rglob("*") if path.is_file()}
    wanted = {path for path in files if path.suffix != ".pyc"}
    assert {str(path) for path in wanted if not (installed / path).is_file()} == set()


def test_a_folder_that_is_named_twice_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, packaged = tmp_path / "own", catalog.search_path()[-1]
    own.mkdir()
    again = packaged.parent / "." / packaged.name / ".." / packaged.name
    monkeypatch.setenv("VRCODEC_WEIGHTS", f"{own}{os.pathsep}{again}{os.pathsep}{own}")
    assert catalog.search_path() == [own, again, catalog.store_folder()]
    files = [entry.path for entry in catalog.installed_weights()]
    assert sorted(files) == sorted(set(files))
