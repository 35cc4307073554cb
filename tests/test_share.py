"""What is installed for other programs: the manual page, the type of .vrc files, the magic of file(1)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

from tests.conftest import GOLDEN, ROOT
from tools.manual import EXAMPLES
from vrcodec.bitstream import schema
from vrcodec.bitstream.container import Container, Header, build_container
from vrcodec.cli.main import COMMANDS

SHARE = ROOT / "share"
MANUAL = SHARE / "man" / "man1" / "vrcodec.1"
MAGIC = SHARE / "file" / "magic" / "vrcodec"
ENTRY = SHARE / "applications" / "vrcodec.desktop"
MIME = "image/x-vrc"
# Of varints: both sides of every length, and what a magic shows no more.
SIDES = (1, 127, 128, 255, 256, 4095, 10_000, 16_383, 16_384)


def output(*command: object, **options: object) -> str:
    """What a program says; it may not complain."""
    done = subprocess.run(  # type: ignore[call-overload]
        [str(word) for word in command], capture_output=True, text=True, check=True, **options
    )
    assert done.stderr == ""
    return str(done.stdout)


def run_documented(words: str, environment: dict[str, str]) -> None:
    """Run the line of docs/PLACES.md that has ``words`` in it."""
    page = (ROOT / "docs" / "PLACES.md").read_text()
    (line,) = [line for line in page.splitlines() if words in line and '"$share/' in line]
    output("sh", "-ec", line, env={**environment, "share": str(SHARE)})


def test_the_page_on_the_media_type_says_what_is_installed() -> None:
    page = (ROOT / "docs" / "MEDIATYPE.md").read_text()
    installed = (SHARE / "mime" / "packages" / "vrcodec.xml").read_text()
    assert f'type="{MIME}"' in installed
    assert 'pattern="*.vrc"' in installed
    assert page.startswith(
        f"# The media type of .vrc files\n\n`{MIME}`, with the extension `.vrc`."
    )
    assert f"`{schema.MAGIC.hex(' ').upper()}` at offset 0" in page
    format_page = (ROOT / "docs" / "FORMAT.md").read_text()
    assert f"`{schema.MAGIC.hex(' ').upper()}`: 8D shows" in format_page
    assert f"media type of such files is `{MIME}`" in format_page


def needs(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"no {program}")


@pytest.mark.parametrize(("path", "tool"), [(MANUAL, "manual"), (MAGIC, "magic")])
def test_what_is_kept_is_what_is_made(path: Path, tool: str) -> None:
    # In a process of its own: a command keeps the help option that it was first asked for.
    made = output(sys.executable, "-W", "ignore", "-m", f"tools.{tool}", cwd=ROOT)
    assert path.read_text() == made, "run `make share`"


def test_man_shows_every_command() -> None:
    needs("man")
    environment = {**os.environ, "MANWIDTH": "100", "LC_ALL": "C.UTF-8"}
    text = output("man", "-l", "--warnings", MANUAL, env=environment)
    for command in COMMANDS:
        assert f"\n   {command}\n       vrcodec {command}" in text
    assert "\\" not in text
    for part in ("-r, --rate FLOAT RANGE", "EXIT STATUS", "VRCODEC_WEIGHTS", "interrupted"):
        assert part.lower() in text.lower()


@pytest.mark.parametrize(
    "check", [("groff", "-man", "-ww", "-z"), ("mandoc", "-T", "lint", "-W", "warning")]
)
def test_roff_is_clean(check: tuple[str, ...]) -> None:
    needs(check[0])
    done = subprocess.run([*check, str(MANUAL)], capture_output=True, text=True, check=False)
    said = (done.stdout + done.stderr).splitlines()
    # A date would change with every release, for nothing.
    assert [line for line in said if "missing date" not in line] == []


def test_the_examples_are_those_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    for command in (command for commands in EXAMPLES.values() for command in commands):
        assert command in readme


def test_file_knows_our_files_once_it_is_told(tmp_path: Path, vrc_file: Path) -> None:
    needs("file")
    environment = {**os.environ, "HOME": str(tmp_path)}
    assert "vrcodec" not in output("file", "-b", vrc_file, env=environment)
    run_documented("/file/magic/", environment)
    assert output("file", "-b", vrc_file, env=environment).startswith("vrcodec picture, version")
    assert output("file", "-b", GOLDEN / "dot.png", env=environment).startswith("PNG image")


def test_file_knows_the_golden_files() -> None:
    needs("file")
    shown = output("file", "-b", "-m", MAGIC, GOLDEN / "qmap_grey.vrc")
    assert shown.strip() == "vrcodec picture, version 1.0, 101 x 77, grey, qmap"
    for option, expected in (("--mime-type", MIME), ("--extension", "vrc")):
        assert output("file", "-b", option, "-m", MAGIC, GOLDEN / "dot.vrc").strip() == expected


def test_file_shows_every_size_mode_and_model(tmp_path: Path) -> None:
    needs("file")
    expected = []
    paths = []
    modes = {schema.MODE_GREY: "grey", schema.MODE_RGB: "RGB", schema.MODE_BILEVEL: "bilevel"}
    methods = {schema.METHOD_LOSSLESS: schema.LOSSLESS, **schema.METHODS}
    for number, (width, height) in enumerate(product(SIDES, repeat=2)):
        method, mode = number % len(methods), number % len(modes)
        header = Header(method, bytes(range(8)), width, height, mode, 0xFFFF)
        path = tmp_path / f"{number}.vrc"
        path.write_bytes(build_container(Container(header, [])))
        paths.append(path)
        fits = max(width, height) < 2**14
        about = f", {width} x {height}, {modes[mode]}" if fits else ""
        expected.append(f"vrcodec picture, version 1.0{about}, {methods[method]}")
    assert output("file", "-b", "-m", MAGIC, *paths).splitlines() == expected


def test_the_magic_compiles_without_a_warning(tmp_path: Path) -> None:
    needs("file")
    output("file", "-C", "-m", MAGIC, cwd=tmp_path)
    assert list(tmp_path.glob("*.mgc"))


@pytest.fixture
def desktop(tmp_path: Path) -> dict[str, str]:
    """The environment of a user who has no settings and runs no desktop."""
    running = ("XDG_CURRENT_DESKTOP", "KDE_FULL_SESSION", "GNOME_DESKTOP_SESSION_ID", "DE")
    environment = {name: value for name, value in os.environ.items() if name not in running}
    places = {"XDG_DATA_HOME": "data", "XDG_CONFIG_HOME": "config", "HOME": "home"}
    for name, folder in places.items():
        (tmp_path / folder).mkdir()
        environment[name] = str(tmp_path / folder)
    # Also for root, who would otherwise install for everyone.
    return {**environment, "XDG_UTILS_INSTALL_MODE": "user"}


def test_the_desktop_knows_the_type(
    tmp_path: Path, vrc_file: Path, desktop: dict[str, str]
) -> None:
    # Without mimetype, or a desktop, xdg-mime asks file(1), which knows the type from elsewhere.
    needs("xdg-mime", "update-mime-database", "mimetype")
    without_suffix = tmp_path / "photograph"
    shutil.copy(vrc_file, without_suffix)

    def found(path: Path) -> str:
        return output("xdg-mime", "query", "filetype", path, env=desktop).strip()

    assert found(without_suffix) != MIME
    run_documented("xdg-mime install", desktop)
    assert found(vrc_file) == found(without_suffix) == MIME


def test_the_desktop_opens_it_by_our_command(desktop: dict[str, str]) -> None:
    needs("xdg-mime", "xdg-desktop-menu")
    run_documented("xdg-desktop-menu", desktop)
    assert output("xdg-mime", "query", "default", MIME, env=desktop).strip() == ENTRY.name
    installed = Path(desktop["XDG_DATA_HOME"], "applications", ENTRY.name)
    assert "Exec=vrcodec view %f\n" in installed.read_text()


def test_the_desktop_entry_is_valid() -> None:
    needs("desktop-file-validate")
    assert output("desktop-file-validate", ENTRY) == ""
