"""Ablation of the context model of `qvrf`: a prior with it and one without, trained alike.

    python -m benchmarks.context_ablation training-pictures/ kodak/ --minutes 12

The transforms stay those of the installed `qvrf`; everything from y on begins anew in both arms, each in
a process with one thread, at the same time, for the same minutes. Then both encode real files of the same
latents at eleven rates. Without context a larger hyper-synthesis, that of `gained`, predicts mean and scale.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.results import RATES
from benchmarks.timing import median_seconds, photograph
from vrcodec.bench.curves import compare_columns
from vrcodec.bitstream.latent_stream import build_stream
from vrcodec.catalog import find_by_family
from vrcodec.metrics import psnr
from vrcodec.models import Gained, Qvrf
from vrcodec.models.device import mixed_precision, torch_backend
from vrcodec.models.hyperprior import Gains, HyperpriorModel
from vrcodec.models.learning.initial_scales import initialise_output, initialise_scales
from vrcodec.models.learning.passes import run
from vrcodec.models.learning.trainable import attach_training, load_state
from vrcodec.models.networks.context import StepCoder
from vrcodec.models.networks.module import Sequential
from vrcodec.models.trade_off import LAMBDA_MIN, rate_to_lambda
from vrcodec.models.weights import unpack_model
from vrcodec.picture.folders import find_pictures, read_folder
from vrcodec.picture.picture import Picture
from vrcodec.rate import code_from_rate
from vrcodec.training.calibration import calibrate_tables
from vrcodec.training.data import CropSampler, load_pictures
from vrcodec.training.schedule import learning_rate_factor

_CROPS, _BATCH, _LEARNING_RATE, _WARMUP = 1600, 16, 1e-3, 100
_TRANSFORMS = ("analysis_net.", "synthesis_net.", "regulator.", "log_restoration")


class WithoutContext(Qvrf):
    """`qvrf` whose hyper-synthesis predicts mean and scale of all of y at once."""

    exact_modules = ("hyper_synthesis_net",)

    def __init__(self, size: Any) -> None:
        super().__init__(size)
        self.context = None
        self.hyper_synthesis_net = Gained(replace(size, groups=(), context=0)).hyper_synthesis_net

    def code_block(self, features: Tensor, gains: Gains, code_step: StepCoder) -> Tensor:
        """One step."""
        mean, log2_scale = features.chunk(2, dim=1)
        gain = gains.gain
        symbols = code_step(mean * gain, log2_scale + gain.log2(), lambda y: y)
        return self.restore(symbols * gains.inverse_gain + mean, gains)


ARMS: dict[str, type[Qvrf]] = {"without": WithoutContext, "with": Qvrf}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("training", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--minutes", type=float, default=12.0)
    arguments = parser.parse_args()
    work = [(name, arguments.training, arguments.minutes) for name in ARMS]
    with multiprocessing.get_context("spawn").Pool(len(ARMS)) as pool:
        states = dict(zip(ARMS, pool.starmap(train, work), strict=True))
    models = {name: _coding_model(name, state) for name, state in states.items()}
    pictures = list(read_folder(arguments.pictures).values())
    curves = {name: measure_curve(model, pictures) for name, model in models.items()}
    for name, columns in curves.items():
        print(
            name,
            " ".join(
                f"{b:.4f}/{p:.2f}" for b, p in zip(columns["bpp"], columns["psnr"], strict=True)
            ),
        )
        print(name, f"decodes 768x512 in {decoding_time(models[name]):.3f} s")
    bd_rate = compare_columns(curves["without"], curves["with"], "psnr")
    assert bd_rate
    print(f"BD-rate of the context: {bd_rate.pchip:+.2f} %")


def train(arm: str, folder: Path, minutes: float) -> dict[str, Tensor]:
    """The state of an arm after its minutes: tables frozen."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = _new_model(arm)
    crops = load_pictures(find_pictures((folder,)), print)
    latents = _latents(model, CropSampler(crops, 256, "cpu"))
    transforms = model.analysis_net, model.synthesis_net
    # The model is trained on latents, so its transforms are replaced by the identity.
    model.analysis_net, model.synthesis_net = Sequential(), Sequential()
    steps = _optimise(model, latents, minutes)
    model.analysis_net, model.synthesis_net = transforms
    model.prior.freeze()
    model.eval()
    model.gaussian.freeze_tables(calibrate_tables(model, crops, 100, seed=0))
    print(f"{arm}: {steps} steps of {_BATCH}")
    return {k: v.clone() for k, v in model.state_dict().items() if "density" not in k}


def _new_model(arm: str) -> Qvrf:
    path = find_by_family("qvrf", "psnr").path
    model = ARMS[arm](unpack_model(path.read_bytes(), str(path)).size)
    transforms = {k: v for k, v in load_state(path).items() if k.startswith(_TRANSFORMS)}
    attach_training(model)
    model.load_state_dict(transforms, strict=False)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(parameter.requires_grad and not name.startswith(_TRANSFORMS))
    return model


@torch.no_grad()
def _latents(model: HyperpriorModel, sampler: CropSampler) -> Tensor:
    net = model.analysis_net
    random = np.random.default_rng(0)
    levels = [0.5] * _BATCH
    batches = (sampler.batch(levels, random) - 0.5 for _ in range(_CROPS // _BATCH))
    with mixed_precision(torch.device("cpu")):
        return torch.cat([net(x).float() for x in batches])


def _optimise(model: HyperpriorModel, latents: Tensor, minutes: float) -> int:
    scales = latents.std((0, 2, 3)).clamp_min(1e-3).log2()
    if isinstance(model, WithoutContext):
        initialise_output(model.hyper_synthesis_net[-1], scales)
    else:
        initialise_scales(model, scales)
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, _LEARNING_RATE)
    random = torch.Generator().manual_seed(1)
    start, step = time.perf_counter(), 0
    while (progress := (time.perf_counter() - start) / (60 * minutes)) < 1:
        factor = learning_rate_factor("cosine", step, progress, _WARMUP, 0.02)
        optimizer.param_groups[0]["lr"] = _LEARNING_RATE * factor
        y = latents[torch.randint(len(latents), (_BATCH,), generator=random)]
        rate = torch.rand(_BATCH, generator=random)
        with mixed_precision(torch.device("cpu")):
            likelihoods = run(model, y + 0.5, rate).likelihoods
        bits = sum(-torch.log2(p).flatten(1).sum(1) for p in likelihoods.values())
        bpp = bits / (256 * y.shape[-2] * y.shape[-1])
        # As in the loss of the whole model, so that low rates count.
        loss = (bpp / torch.sqrt(rate_to_lambda(rate) / LAMBDA_MIN)).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        step += 1
    return step


def _coding_model(arm: str, state: Mapping[str, Tensor]) -> HyperpriorModel:
    path = find_by_family("qvrf", "psnr").path
    model = ARMS[arm](unpack_model(path.read_bytes(), str(path)).size)
    model.load_state_dict(state)
    model.prepare(torch_backend())
    return model


def measure_curve(model: HyperpriorModel, pictures: Sequence[Picture]) -> dict[str, list[float]]:
    """Mean bits a pixel of the streams, and PSNR, at eleven rates."""
    columns: dict[str, list[float]] = {"bpp": [], "psnr": []}
    latents = [model.analyse(picture.pixels) for picture in pictures]
    for rate in map(model.rate_parameters, map(code_from_rate, RATES)):
        points = []
        for picture, y in zip(pictures, latents, strict=True):
            streams = model.compress(y, rate)
            size = sum(len(build_stream(stream)) for stream in streams)
            decoded = model.decompress(streams, rate, picture.width, picture.height)
            bpp = 8 * size / (picture.width * picture.height)
            points.append((bpp, psnr(picture.pixels, decoded)))
        for column, value in zip(columns.values(), np.mean(points, axis=0), strict=True):
            column.append(float(value))
    return columns


def decoding_time(model: HyperpriorModel) -> float:
    """Median seconds for the streams of a photograph at rate 1/2."""
    picture, rate = photograph(), model.rate_parameters(code_from_rate(0.5))
    streams = model.compress(model.analyse(picture.pixels), rate)
    return median_seconds(lambda: model.decompress(streams, rate, picture.width, picture.height))


if __name__ == "__main__":
    main()
