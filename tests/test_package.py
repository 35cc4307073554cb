"""Wheel and source distribution: whole, described truly, and of use away from the checkout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import ROOT, Pixels
from vrcodec import __version__, catalog


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


@pytest.fixture
def described(installed: Path) -> Distribution:
    """What the wheel says of itself."""
    (folder,) = installed.glob("*.dist-info")
    return PathDistribution(folder)


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
    weights = {path.name for path in (ROOT / "weights").glob("*.*")}
    assert weights <= {path.name for path in (installed / "vrcodec" / "shipped_weights").iterdir()}


def test_the_source_distribution_has_the_repository(tmp_path: Path) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    tracked = set(listing.stdout.decode().split("\0")) - {""}
    build = [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True)
    sources = set((tmp_path / "vrcodec.egg-info" / "SOURCES.txt").read_text().splitlines())
    assert tracked - sources == {".ci/run", ".gitignore"}


def test_links_of_the_description_lead_into_the_repository(described: Distribution) -> None:
    links = re.findall(r"\]\(([^)]*)\)", described.metadata["Description"])
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
    urls = dict(line.split(", ") for line in described.metadata.get_all("Project-URL"))
    files, pictures = (f"{urls['Source']}/{kind}/v{__version__}/" for kind in ("blob", "raw"))
    pages = [link.removeprefix(files) for link in links if link.startswith(files)]
    shown = [link.removeprefix(pictures) for link in links if link.startswith(pictures)]
    assert len(pages) > 8
    assert shown == ["docs/photograph.jpg"]
    assert [name for name in (*pages, *shown) if not (ROOT / name).is_file()] == []


def test_pythons_are_named_that_tests_were_run_with(described: Distribution) -> None:
    page = (ROOT / "docs" / "PLATFORMS.md").read_text()
    run = "".join(line for line in page.splitlines() if "| run: " in line)
    classifiers = "\n".join(described.metadata.get_all("Classifier"))
    named = re.findall(r"Python :: (3\.\d+)$", classifiers, re.MULTILINE)
    assert set(named) == set(re.findall(r"\b3\.1\d\b", run))


def test_a_release_is_of_one_version(described: Distribution) -> None:
    assert described.version == __version__
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert re.search("^## (.*)", changes, re.MULTILINE)[1] == __version__
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text()


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
