"""`vrcodec train`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from vrcodec.cli.shared import options, output, signals
from vrcodec.cli.shared.option_groups import MESSAGES, RUNNING, GroupedCommand, option_group
from vrcodec.errors import UsageError
from vrcodec.extras import require

if TYPE_CHECKING:
    from vrcodec.training.recipes import Recipe
    from vrcodec.training.schedule import Shape


_HELP = """Train the weights of FAMILY on a folder of photographs: of a family, or of a network of your own.

One's own is called by the name that `vrcodec import` gave it, and trained on from its newest weights.

Stops by itself when the budget is used up, and writes the weights and their card. Under torchrun,
all processes train one model. Ctrl-C ends it behind the present step, with nothing lost.
"""


@click.command(cls=GroupedCommand, help=_HELP)
@click.argument("family", shell_complete=options.complete_model)
@option_group(
    "Pictures",
    click.option(
        "--data",
        "folders",
        required=True,
        multiple=True,
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="Folder with training pictures; may be given again.",
    ),
    click.option(
        "--eval",
        "eval_folder",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="Folder with held-out pictures, evaluated every few minutes; needed for --schedule.",
    ),
    click.option(
        "--graphics",
        type=options.FiniteRange(0, 1),
        metavar="SHARE",
        help="The share of crops that are drawn (text, flat shapes, line art ...), so that what no photograph "
        "has is learnt, too.  [default: 0.05]",
    ),
)
@option_group(
    "Start and end",
    click.option(
        "--init",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Weights to start from; what fits by name and shape is taken over. Default: the "
        "Karhunen-Loeve transform of the training pictures.",
    ),
    click.option(
        "--transforms",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Weights of qvrf or qarv whose analysis and synthesis are to replace those of the start; for "
        "gained, qvrf, qmap and qarv.",
    ),
    click.option(
        "--minutes", type=options.FiniteRange(min=0), help="Budget of the whole schedule."
    ),
    click.option("--steps", type=click.IntRange(min=1), help="The same, in steps."),
    click.option(
        "--pause",
        type=options.FiniteRange(min=0),
        metavar="MINUTES",
        help="Stop this process earlier; go on later with --resume.",
    ),
    click.option("--resume", is_flag=True, help="Go on from the checkpoint in the output folder."),
    click.option(
        "--trunk",
        type=click.Path(file_okay=False, path_type=Path),
        help="Folder of a run without an end: begun there, or gone on with, at a constant learning rate, until "
        "it is stopped; --minutes or --steps then bound this process.",
    ),
    click.option(
        "--branch",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        metavar="TRUNK",
        help="Start from the present state of this trunk, which is not changed, and let the learning rate fall "
        "to nothing over the budget: that makes weights of it.",
    ),
    click.option(
        "-o",
        "--output",
        "target",
        default="runs",
        show_default=True,
        type=click.Path(file_okay=False, path_type=Path),
        help="Folder for checkpoint, logs, plot and weights; a trunk has its own.",
    ),
)
@option_group(
    "How it learns",
    click.option(
        "--small",
        is_flag=True,
        help="A model of a few channels, to try out training in minutes (gained only).",
    ),
    click.option(
        "--tune",
        type=click.Choice(["psnr", "ssimulacra2"]),
        help="What to train for; ssimulacra2 (with gained, qvrf and qarv) sees more as people do.  "
        "[default: psnr]",
    ),
    click.option(
        "--schedule",
        "lambda_scheduling",
        is_flag=True,
        help="Lambda scheduling, of slim: search, from one trade-off for all widths, how far each should go, "
        "within the first part of the budget.",
    ),
    click.option(
        "--only",
        "learns",
        type=click.Choice(["encoder", "synthesis", "prior"]),
        help="Let this part learn alone. The decoder, and so all files, stay as they are with the encoder, "
        "sizes of files with the synthesis, and pictures with the prior (not of slim; the prior not of qarv).",
    ),
    click.option(
        "--coarse-means",
        is_flag=True,
        help="Let idle channels of the hyper latent begin as coarse means of luma and chroma (of gained, qmap "
        "and qvrf).",
    ),
    click.option("--batch", type=click.IntRange(min=1), help="Crops per step and process."),
    click.option(
        "--crop",
        type=click.IntRange(min=64),
        metavar="PIXELS",
        help="Side of a crop, a multiple of 64.  [default: the recipe's]",
    ),
    click.option(
        "--distinct-crops",
        type=click.IntRange(min=1),
        metavar="COUNT",
        help="With --only prior: have so many different crops per process, and keep their latents, 5 bytes a "
        "pixel, in memory. Steps are several times faster once they are there.",
    ),
    click.option(
        "--learning-rate",
        type=options.FiniteRange(min=0, min_open=True),
        help="The highest of the schedule, in place of the recipe's.",
    ),
    click.option(
        "--warmup",
        type=click.IntRange(min=1),
        metavar="STEPS",
        help="How long the learning rate rises at first; a short stage wants fewer than the recipe has.",
    ),
    click.option(
        "--freeze",
        type=click.IntRange(min=0),
        metavar="STEPS",
        help="How long tensors that --transforms or --init brought stand still at first, where others are new "
        "or must get used to them.",
    ),
    click.option(
        "--optimizer",
        type=click.Choice(["adam", "muon"]),
        help="Of matrices; of other parameters it is Adam.  [default: the recipe's]",
    ),
    click.option(
        "--seed",
        type=click.IntRange(0, 2**32 - 1),
        default=0,
        show_default=True,
        help="Of all random numbers: crops, levels, noise.",
    ),
)
@option_group(
    RUNNING,
    options.device_option,
    options.threads_option,
)
@option_group(
    MESSAGES,
    options.verbosity_options,
)
def command(
    family: str,
    folders: tuple[Path, ...],
    minutes: float | None,
    steps: int | None,
    pause: float | None,
    resume: bool,
    trunk: Path | None,
    branch: Path | None,
    target: Path,
    init: Path | None,
    transforms: Path | None,
    eval_folder: Path | None,
    small: bool,
    lambda_scheduling: bool,
    learns: Literal["encoder", "synthesis", "prior"] | None,
    coarse_means: bool,
    batch: int | None,
    crop: int | None,
    distinct_crops: int | None,
    learning_rate: float | None,
    warmup: int | None,
    freeze: int | None,
    optimizer: Literal["adam", "muon"] | None,
    tune: Literal["psnr", "ssimulacra2"] | None,
    graphics: float | None,
    seed: int,
    device: str,
    threads: int | None,
) -> None:
    """Run the command."""
    for module in ("torch", "compressai"):
        require(module, "train", "training")
    from vrcodec.training.schedule import Schedule
    from vrcodec.training.session import Session, train

    _check_start(trunk, branch, resume, init, transforms)
    _check_crop(crop)
    if lambda_scheduling:
        _check_search(family, trunk or branch, eval_folder)
    options.set_threads(threads)
    recipe, own_weights = _find_recipe(family, small)
    if not branch:
        init = init or own_weights
    settings = {
        "batch": batch,
        "crop": crop,
        "distinct_crops": distinct_crops,
        "learning_rate": learning_rate,
        "warmup_steps": warmup,
        "frozen_steps": freeze,
        "optimizer": optimizer,
        "tune": tune,
        "graphics": graphics,
        "learns": learns,
        "coarse_means": coarse_means or None,
    }
    shape: Shape = "constant" if trunk else "decay" if branch else "cosine"
    with signals.as_requests() as stop:
        train(
            Session(
                recipe=recipe,
                data=folders,
                folder=trunk or target,
                schedule=Schedule(minutes, steps, pause, shape),
                overrides={k: v for k, v in settings.items() if v is not None},
                resume=resume,
                init=init,
                transforms=transforms,
                trunk=branch,
                eval_folder=eval_folder,
                lambda_scheduling=lambda_scheduling,
                device=device,
                seed=seed,
                say=output.say,
                stop=stop,
            )
        )


def _check_start(
    trunk: Path | None,
    branch: Path | None,
    resume: bool,
    init: Path | None,
    transforms: Path | None,
) -> None:
    """Raise UsageError where two options say what a run begins with."""
    if trunk and (branch or resume):
        raise UsageError(
            "--trunk begins or goes on with a trunk by itself: leave out --branch and --resume"
        )
    if branch and (init or transforms):
        raise UsageError("a branch has the weights of its trunk: leave out --init and --transforms")


def _check_crop(crop: int | None) -> None:
    """Raise UsageError where latents of a crop would not be whole."""
    from vrcodec.regions.grid import HYPER_STRIDE, STRIDE

    if crop and crop % (STRIDE * HYPER_STRIDE):
        raise UsageError(f"--crop {crop}: no multiple of {STRIDE * HYPER_STRIDE}")


def _find_recipe(family: str, small: bool) -> tuple[Recipe, Path | None]:
    """How to train ``family``, and of a network of one's own the weights that it has."""
    from vrcodec.training.recipes import FAMILIES, load_recipe, own_recipe

    if family in FAMILIES:
        return load_recipe(family, small=small), None
    return own_recipe(family, small=small)


def _check_search(family: str, trunk: Path | None, eval_folder: Path | None) -> None:
    """Raise UsageError where there is nothing to search, or nothing to measure on."""
    if family != "slim":
        raise UsageError("--schedule searches the trade-offs of widths, and only slim has widths")
    if trunk:
        raise UsageError("--schedule belongs to a run with an end: leave out --trunk and --branch")
    if not eval_folder:
        raise UsageError(
            "--schedule measures on held-out pictures: name a folder of them with --eval"
        )
