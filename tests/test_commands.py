"""Every command that the documentation shows works, on small pictures and tiny models."""

from __future__ import annotations

import glob
import json
import os
import re
import shlex
import subprocess
import sys
import webbrowser
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import skimage.data
import torch
from PIL import Image

from tests.compressai_networks import random_network
from tests.conftest import GOLDEN, ROOT
from tests.documents import COMMANDS, DOCUMENTS, blocks
from vrcodec.cli import view
from vrcodec.models import FAMILIES
from vrcodec.models.learning.trainable import attach_training
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.models.weights import pack_model
from vrcodec.training import recipes
from vrcodec.training.recipes import Recipe

pytestmark = pytest.mark.long

Run = Callable[..., int]

COMMAND = re.compile(r"(export |unset )\w+|(\w+=\S+ )?vrcodec ")
# What a shell has to do.
SHELL = re.compile(r"[|<>]|\$\(")
# In place of what takes long: what is replaced, and by what.
SHORTER = [
    (r"--minutes \d+", "--steps 2 --batch 1"),
    (r"--effort [5-9]", "--effort 1"),
    (r"--efforts 0,3,5", "--efforts 0,1"),
    (r"--time-budget \d+", "--time-budget 0.2"),
    (r"(vrcodec bench .*)", r"\1 --quick"),
    # Pictures at the same size are searched for with every rival.
    (r"(vrcodec bench (?!.*--rivals).*--report .*)", r"\1 --rivals jpeg420,webp"),
    (r"--steps (30|200)", "--steps 2"),
    # Else it would not end.
    (r"(--trunk \S+)", r"\1 --steps 2 --batch 1"),
    # What the tiny one has.
    (r"--width \d+", "--width 16"),
    # Inside of small pictures.
    (r"--crop [\d,]+", "--crop 8,8,32,32"),
    # What nobody else has.
    (r"--port \d+", "--port 0"),
]
# Outputs are those of an earlier command of the same page.
OVERWRITING = ("encode", "decode", "qmap", "info", "bench")


def shown(document: Path) -> list[tuple[str, bool]]:
    """The lines of a page that a user would type, and whether their comment says that they fail."""
    found = []
    for block in blocks(document, *COMMANDS):
        for line in block.replace("\\\n", " ").splitlines():
            command, _, comment = (part.strip() for part in line.partition(" #"))
            if COMMAND.match(command) or "| vrcodec " in command:
                found.append((command, comment.startswith("error:")))
    return found


PAGES = [path for path in DOCUMENTS if shown(path)]


# Of photo.png.
ANNOTATIONS = {
    "images": [{"id": 1, "width": 256, "height": 192}],
    "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "dog"}],
    "annotations": [
        {"id": n, "image_id": 1, "category_id": n, "bbox": [64 * n, 32, 48, 80]} for n in (1, 2)
    ],
}


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the pages speak of: photo.png, folders of pictures, weights, a checkpoint."""
    photograph = skimage.data.astronaut()
    Image.fromarray(photograph[:192, :256]).save(tmp_path / "photo.png")
    Image.fromarray(skimage.data.page()).save(tmp_path / "page.png")
    Image.new("RGB", (64, 64), "red").save(tmp_path / "icon.png")
    Image.linear_gradient("L").save(tmp_path / "scan.tif")
    Image.linear_gradient("L").save(tmp_path / "map.png")
    Image.linear_gradient("L").crop((0, 0, 256, 192)).save(tmp_path / "mask.png")
    Image.new("RGB", (256, 192), "red").save(tmp_path / "labels.png")
    (tmp_path / "labels.json").write_text(json.dumps(ANNOTATIONS))
    for name in ("pictures", "photographs", "held-out", "kodak", "folder"):
        (tmp_path / name).mkdir()
        if name != "folder":
            Image.fromarray(photograph[200:456, 100:356]).save(tmp_path / name / "a.png")
    (tmp_path / "weights").mkdir()
    for family in ("gained", "qvrf"):
        (tmp_path / "weights" / f"{family}.safetensors").write_bytes(untrained(family))
    (tmp_path / "my_task.py").write_text("def loss(a, b):\n    return (a - b).square().mean()\n")
    torch.save(random_network("mbt2018-mean").state_dict(), tmp_path / "mbt2018-mean-4.pth")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(recipes, "load_recipe", tiny_recipe)
    monkeypatch.setattr(view, "until_interrupted", lambda: None)
    monkeypatch.setattr(webbrowser, "open", lambda address: True)
    return tmp_path


def tiny_recipe(family: str, *, small: bool = False) -> Recipe:
    """The recipe of the tiny models, so that training takes seconds."""
    card = json.loads((GOLDEN / f"{family}.json").read_text())
    recipe = ORDINARY(family, small=small)
    # As many blocks as real ones have: weights of one family become those of another layer by layer.
    size = replace(BackboneSize(**card["architecture"]), blocks=recipe.size.blocks)
    return replace(recipe, size=size, crop=64, calibration_crops=5)


def untrained(family: str) -> bytes:
    """A weights file to start training from."""
    model = FAMILIES[family](tiny_recipe(family).size)
    attach_training(model)
    model.freeze()
    return pack_model(model)


ORDINARY = recipes.load_recipe


@pytest.mark.parametrize("document", PAGES, ids=lambda path: path.name)
def test_the_commands_of_a_page_work(
    document: Path, sandbox: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for line, fails in shown(document):
        for pattern, shorter in SHORTER:
            line = re.sub(pattern, shorter, line)
        words = shlex.split(line)
        if SHELL.search(line):
            in_a_shell(line)
        elif words[0] in ("export", "unset"):
            name, _, value = words[1].partition("=")
            monkeypatch.setenv(name, value or str(GOLDEN))
        else:
            with monkeypatch.context() as context:
                if "=" in words[0]:
                    context.setenv(*words.pop(0).split("=", 1))
                assert (run(*arguments_of(words)) != 0) == fails, line


def arguments_of(words: list[str]) -> list[str]:
    """What the program gets for ``words``: names for patterns, and leave to overwrite."""
    arguments = [found for word in words[1:] for found in sorted(glob.glob(word)) or [word]]
    return [*arguments, "-f"] if arguments[0] in OVERWRITING else arguments


def in_a_shell(line: str) -> None:
    """``line`` as bash runs it, with a vrcodec that is this one."""
    function = f'vrcodec() {{ "{sys.executable}" -m vrcodec "$@"; }}\nset -eo pipefail\n'
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(["bash", "-c", function + line], env=environment, check=True, timeout=300)
