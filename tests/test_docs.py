"""The documentation is true: the worked examples, the commands, the links."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click
import pytest

from tests.conftest import ROOT
from tests.documents import COMMANDS as COMMAND_BLOCKS
from tests.documents import DOCUMENTS, blocks
from tools.format_page import DOCUMENT, fill_examples
from vrcodec.bench.card import card_table, families_table
from vrcodec.bitstream import schema
from vrcodec.catalog import DEFAULT_MODEL, DEFAULT_TUNE, INDEX_NAME, read_card
from vrcodec.cli.main import COMMANDS, cli

README = (ROOT / "README.md").read_text()


def test_the_examples_of_the_format_are_those_of_the_files() -> None:
    text = DOCUMENT.read_text()
    assert fill_examples(text) == text, "run `python -m tools.format_page`"
    for method in schema.METHODS.values():
        assert re.search(rf"  method \d: {method}$", text, re.MULTILINE)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", path.read_text()):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_files_of_the_repository_that_a_page_names_exist(path: Path) -> None:
    named = re.findall(
        r"`((?:vrcodec|tests|benchmarks|tools|conformance)/[\w/.]+)`", path.read_text()
    )
    scripts = re.findall(r"python -m (benchmarks\.\w+)", path.read_text())
    for name in (*named, *(f"{script.replace('.', '/')}.py" for script in scripts)):
        assert (ROOT / name).exists(), name


def test_every_command_is_in_the_readme() -> None:
    for command in COMMANDS:
        assert f"vrcodec {command}" in README


def shown_commands() -> list[list[str]]:
    """Every `vrcodec ...` in the code of README and the pages for users, split at pipes."""
    found = []
    pages = ("EFFORT.md", "IMPORT.md", "PLACES.md", "QARV.md", "QMAP.md", "SCALING.md", "SLIM.md")
    documents = [ROOT / "README.md", *(ROOT / "docs" / name for name in pages)]
    for block in (text for page in documents for text in blocks(page, *COMMAND_BLOCKS)):
        for line in block.splitlines():
            parts = line.partition("#")[0].split("|")
            found += [part.split()[1:] for part in parts if part.strip().startswith("vrcodec ")]
    return found


def test_the_readmes_options_exist() -> None:
    commands = shown_commands()
    assert len(commands) > 8
    for name, *arguments in commands:
        command = cli.get_command(click.Context(cli), name)
        while isinstance(command, click.Group):
            command = command.commands[arguments.pop(0)]
        assert command is not None, name
        known = {o for p in command.params if isinstance(p, click.Option) for o in p.opts}
        used = {a.partition("=")[0] for a in arguments if re.match(r"--?[a-zA-Z]", a)}
        assert used <= known | {"--help"}, (name, used - known)


@pytest.mark.parametrize("name", ["IMPORT.md", "TUTORIAL.md"])
def test_who_follows_a_page_overwrites_nothing(name: str) -> None:
    """Without -f the second command of one output does not do what the page says, but refuses to."""
    lines = "\n".join(blocks(ROOT / "docs" / name, *COMMAND_BLOCKS)).splitlines()
    outputs = [re.search(r" -o (\S+)", line) for line in lines if " -f" not in line]
    names = [output[1] for output in outputs if output]
    assert len(names) > 3
    assert len(set(names)) == len(names)


def shipped_at_some_time(family: str) -> set[str]:
    """Ids of the weights of ``family``: those of now, and of earlier stages of their training.

    What is measured once, and says with which weights, stays true when these are trained on.
    """
    card = json.loads((ROOT / "weights" / f"{family}.json").read_text())
    return {card["id"], *(stage["id"] for stage in card["training"] if "id" in stage)}


def test_the_readmes_figures_are_those_of_the_card() -> None:
    card = json.loads((ROOT / "weights" / f"{DEFAULT_MODEL}-{DEFAULT_TUNE}.json").read_text())
    assert card_table(card) in README


def cards() -> dict[Path, dict[str, Any]]:
    """Those of the shipped weights."""
    entries = (read_card(p) for p in (ROOT / "weights").glob("*.json") if p.name != INDEX_NAME)
    return {entry.path: entry.card for entry in entries}


def test_results_are_those_of_the_cards() -> None:
    for path, card in cards().items():
        page = "EYE.md" if card.get("tune") == DEFAULT_TUNE else "RESULTS.md"
        text = (ROOT / "docs" / page).read_text()
        assert card["id"] in text
        for point in card["curve"]:
            assert _has_row(text, point["setting"], point["bpp"], point["psnr"]), (path.name, point)


def _has_row(text: str, setting: float, bpp: float, psnr: float) -> bool:
    """Whether there is a row of these figures, which cards and tables round to different places."""
    rows = re.findall(rf"^\| {setting:.3f} \| ([\d.]+) \| ([\d.]+) \|", text, re.MULTILINE)
    return any(
        abs(float(own_bpp) - bpp) < 6e-5 and abs(float(own_psnr) - psnr) < 6e-3
        for own_bpp, own_psnr in rows
    )


@pytest.mark.parametrize("family", ["qarv", "qmap", "slim"])
def test_the_figures_of_a_familys_page_are_of_the_shipped_weights(family: str) -> None:
    card = json.loads((ROOT / "weights" / f"{family}.json").read_text())
    assert f"weights `{card['id']}`" in (ROOT / "docs" / f"{family.upper()}.md").read_text()


def test_the_performance_document_is_that_of_its_record() -> None:
    from benchmarks.performance import DOCUMENT, RECORD, document

    assert document(json.loads(RECORD.read_text())) == DOCUMENT.read_text()


def test_the_curve_of_training_is_that_of_the_cards() -> None:
    from benchmarks.documents import replace_blocks
    from benchmarks.learning_curve import DOCUMENT, learning_table, shipped_points

    text = DOCUMENT.read_text()
    assert replace_blocks(text, {"learning": learning_table(shipped_points())}) == text


def test_the_scaling_page_is_that_of_its_record() -> None:
    from benchmarks.batch import DOCUMENT, RECORD, blocks
    from benchmarks.documents import replace_blocks

    record = json.loads(RECORD.read_text())
    assert replace_blocks(DOCUMENT.read_text(), blocks(record)) == DOCUMENT.read_text()
    assert record["weights"] in shipped_at_some_time(record["model"])


def test_the_effort_page_is_that_of_its_record() -> None:
    from benchmarks.documents import replace_blocks
    from benchmarks.effort import read_record
    from benchmarks.effort_page import DOCUMENT, blocks

    record = read_record()
    text = DOCUMENT.read_text()
    assert replace_blocks(text, blocks(record)) == text
    for row in record.get("curves", {}).get("rows", {}).values():
        assert row["weights"] in shipped_at_some_time(row["codec"])


def test_the_robustness_page_is_that_of_its_records() -> None:
    from benchmarks import faults, hostile
    from benchmarks.documents import replace_blocks

    text = hostile.DOCUMENT.read_text()
    for script in (hostile, faults):
        shown = script.blocks(json.loads(script.RECORD.read_text()))
        assert replace_blocks(text, shown) == text


@pytest.mark.parametrize("name", ["README.md", "docs/PLACES.md"])
def test_the_python_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import skimage.data
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    Image.fromarray(skimage.data.astronaut()[:96, :96]).save("photo.png")
    found = blocks(ROOT / name, "python")
    assert found
    for block in found:
        exec(compile(block, name, "exec"), {})
    assert Path("photo.vrc").exists()


def test_the_page_of_large_pictures_is_that_of_its_record() -> None:
    from benchmarks.documents import replace_blocks
    from benchmarks.large import DOCUMENT, RECORD, commands_table

    text = DOCUMENT.read_text()
    assert (
        replace_blocks(text, {"large pictures": commands_table(json.loads(RECORD.read_text()))})
        == text
    )


def test_the_table_of_families_is_that_of_the_cards() -> None:
    of_psnr = [card for card in cards().values() if card.get("tune", "psnr") == "psnr"]
    assert families_table(of_psnr) in (ROOT / "docs" / "FAMILIES.md").read_text()
