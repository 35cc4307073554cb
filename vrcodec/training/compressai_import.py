"""Scale and mean-scale hyperpriors of CompressAI's layout as models of the family `hyperprior`.

Taken over are all tensors of `bmshj2018-hyperprior` and `mbt2018-mean` (CompressAI's names for Balle et al.
2018 and Minnen et al. 2018 without the autoregressive part). Of their variable-rate forms (`-vbr`; Kamisli et
al., "Variable-Rate Learned Image Compression with Multi-Objective Optimization and Quantization-
Reconstruction Offsets", DCC 2024) the gains are, as the regulator's start; the network of their reconstruction
offsets and that of the steps of z are not.
"""

from __future__ import annotations

import io
import math
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from vrcodec.catalog import FILE_BYTES_MAX
from vrcodec.errors import UsageError, WeightsError
from vrcodec.models import GdnHyperprior
from vrcodec.models.learning.factorized_density import FactorizedDensity
from vrcodec.models.learning.trainable import place_trainable
from vrcodec.models.networks.backbone import BackboneSize
from vrcodec.models.networks.gains import KNOTS
from vrcodec.models.networks.gdn_backbone import GDN_FLOOR, GDN_LEAST
from vrcodec.models.networks.module import uninitialised
from vrcodec.models.trade_off import LAMBDA_MAX, LAMBDA_MIN
from vrcodec.models.weights import read_bytes
from vrcodec.rate import RATE_CODE_MAX, code_from_rate, rate_from_code

# Of CompressAI's example of training; a checkpoint does not say.
DEFAULT_LAMBDA = 0.01
MAX_CHANNELS = 512

# Their networks, ours, and how much higher our layers are numbered: by the offset in front.
_NETWORKS = (
    ("g_a", "analysis_net", 1),
    ("g_s", "synthesis_net", 0),
    ("h_a", "hyper_analysis_net", 0),
    ("h_s", "hyper_synthesis_net", 1),
)
# Layers of g_a and g_s that are GDN.
_GDN_LAYERS = (1, 3, 5)
_GDN_NAMES = {"weight": "gamma", "bias": "beta"}
_BOTTLENECK = "entropy_bottleneck."
_QUANTILES = f"{_BOTTLENECK}quantiles"
# The parameters of the density of z have had three names each.
_DENSITY = re.compile(r"_?(?P<kind>matri|bias|factor)(?:x|ces|es|s)?\.?(?P<number>\d)")
# What is not taken over: tables and constants; of -vbr, the networks that the regulator replaces.
_LEFT_OUT = re.compile(
    r"gaussian_conditional\..*|entropy_bottleneck\.(_offset|_quantized_cdf|_cdf_length|target|likelihood_lower_bound"
    r"\.bound)|g_[as]\.\d\.(beta|gamma)_reparam\..*|(QuantABCD|gayn2zqstep|lower_bound_zqstep)\..*|QuantOffset"
)
_GAIN = "Gain"
# In PyTorch's refusal of a file that would run something.
_CODE = re.compile(r"GLOBAL ([\w.]+)")
# The trade-offs of the eight levels of -vbr models.
_VBR_LAMBDAS = (0.0018, 0.0035, 0.0067, 0.0130, 0.025, 0.0483, 0.0932, 0.18)
_LEAST_GAIN = 1e-4
_LEAST_RISE = 1e-3
# A checkpoint of more than this is one of something else; the largest of CompressAI's are a tenth.
_MAX_BYTES = FILE_BYTES_MAX

Knots = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ImportedModel:
    """``layout``: CompressAI's name for such networks. ``rate_code``: where the regulator is the identity."""

    model: GdnHyperprior
    layout: str
    rate_code: int


def import_checkpoint(path: Path, trade_off: float | None = None) -> ImportedModel:
    """The model of the checkpoint at ``path``, with frozen tables.

    ``trade_off``: the lambda that it was trained with, by default `DEFAULT_LAMBDA`; a -vbr checkpoint brings
    its own. Raises WeightsError for files that are no such checkpoint, UsageError for a lambda out of range.
    """
    tensors = _read_tensors(path)
    size = _read_size(path, tensors)
    with uninitialised():
        model = GdnHyperprior(size)
    model.attach_densities()
    density = model.prior.density
    assert density is not None
    taken = _Tensors(path, tensors)
    with torch.no_grad():
        state = _network_state(model, taken)
        medians = _load_density(density, taken)
    # Pictures are around zero here, and symbols of z are whole numbers.
    state["synthesis_net.6.bias"] = state["synthesis_net.6.bias"] - 0.5
    state["hyper_analysis_net.4.bias"] = state["hyper_analysis_net.4.bias"] - medians
    state["hyper_synthesis_net.0.offset"] = medians
    variable = _GAIN in tensors
    if variable and trade_off is not None:
        raise UsageError(
            f"{path}: a -vbr checkpoint has the lambdas of its levels: leave out --lambda"
        )
    knots = (
        _vbr_knots(taken)
        if variable
        else _knots(DEFAULT_LAMBDA if trade_off is None else trade_off)
    )
    taken.check_all()
    state |= _regulator_state(knots)
    model.load_state_dict(state, strict=False)
    model.freeze()
    place_trainable(model, "cpu")
    means = size.prior == 2 * size.latent
    layout = "mbt2018-mean" if means else "bmshj2018-hyperprior"
    return ImportedModel(model, layout + "-vbr" * variable, _identity_code(knots))


def _read_tensors(path: Path) -> dict[str, object]:
    """The entries of a state dict by CompressAI's present names, without those of DataParallel."""
    content = _load(path)
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(isinstance(k, str) for k in content):
        raise WeightsError(f"{path}: not a checkpoint: there are no tensors by name in it")
    return {_present_name(str(k).removeprefix("module.")): v for k, v in content.items()}


def _load(path: Path) -> object:
    """What a file of torch.save holds, unless that is code. Raises WeightsError."""
    data = io.BytesIO(read_bytes(path))
    try:
        if _unpacked_size(data) <= _MAX_BYTES:
            _check_sums(data)
            with warnings.catch_warnings():
                # What PyTorch thinks of the file says nothing to a user.
                warnings.simplefilter("ignore")
                return torch.load(data, "cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:
        # A damaged or malicious file can fail in any way.
        code = _CODE.search(str(error))
        reason = f"it has {code[1]} in it, which would be run" if code else "it is damaged"
        raise WeightsError(
            f"{path}: not a checkpoint of tensors alone, which torch.save writes of a state dict: {reason}"
        ) from error
    raise WeightsError(f"{path}: larger than any checkpoint of a hyperprior")


def _unpacked_size(data: io.BytesIO) -> int:
    """Bytes of a file, or of its parts where these are packed."""
    sizes = [len(data.getbuffer())]
    if zipfile.is_zipfile(data):
        with zipfile.ZipFile(data) as archive:
            sizes.append(sum(part.file_size for part in archive.infolist()))
    data.seek(0)
    return max(sizes)


def _check_sums(data: io.BytesIO) -> None:
    """Raise BadZipFile where a part is not as it was written: PyTorch does not look."""
    if zipfile.is_zipfile(data):
        with zipfile.ZipFile(data) as archive:
            if name := archive.testzip():
                raise zipfile.BadZipFile(name)
    data.seek(0)


def _present_name(name: str) -> str:
    """The name of a tensor, whose number is apart in all versions."""
    match = _DENSITY.fullmatch(name.removeprefix(_BOTTLENECK))
    if name.startswith(_BOTTLENECK) and match:
        return f"{_BOTTLENECK}{match['kind']}{match['number']}"
    return name


def _read_size(path: Path, tensors: Mapping[str, object]) -> BackboneSize:
    """N, M and the kind of hyperprior. Raises WeightsError where it is neither, or too wide."""
    if foreign := [name for name in tensors if not _is_known(name)]:
        raise WeightsError(
            f"{path}: of another architecture, with {foreign[0]}: bmshj2018-hyperprior and mbt2018-mean can be "
            "imported, and their -vbr forms"
        )
    n, m, parameters = (
        _leading(path, tensors, name) for name in ("g_a.0.weight", "g_a.6.weight", "h_s.4.weight")
    )
    if not (1 <= n <= MAX_CHANNELS and 1 <= m <= MAX_CHANNELS):
        raise WeightsError(f"{path}: {n} and {m} channels, where 1 to {MAX_CHANNELS} are possible")
    if parameters not in (m, 2 * m):
        raise WeightsError(
            f"{path}: h_s gives {parameters} channels, where a scale hyperprior gives {m} and a mean-scale "
            f"hyperprior {2 * m}"
        )
    return BackboneSize(channels=n, latent=m, hyper=n, blocks=0, prior=parameters)


def _is_known(name: str) -> bool:
    """Whether hyperpriors have a tensor of this name."""
    if name in (_QUANTILES, _GAIN) or _LEFT_OUT.fullmatch(name):
        return True
    return bool(
        re.fullmatch(
            r"(g_[as]\.[0246]|h_[as]\.[024])\.(weight|bias)|g_[as]\.[135]\.(beta|gamma)", name
        )
        or re.fullmatch(rf"{_BOTTLENECK}(matri|bias|factor)\d", name)
    )


def _leading(path: Path, tensors: Mapping[str, object], name: str) -> int:
    """The first side of a convolution."""
    tensor = tensors.get(name)
    if not isinstance(tensor, Tensor) or tensor.dim() != 4:
        raise WeightsError(f"{path}: no hyperprior of CompressAI's layout: there is no {name}")
    return int(tensor.shape[0])


class _Tensors:
    """Tensors that are taken one by one, each checked; `check_all` knows whether some are left."""

    def __init__(self, path: Path, tensors: Mapping[str, object]) -> None:
        self._path = path
        self._tensors = tensors
        self._taken: set[str] = set()

    def take(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """A tensor of this shape in float64, contiguous. Raises WeightsError."""
        tensor = self._tensors.get(name)
        if not isinstance(tensor, Tensor):
            raise WeightsError(f"{self._path}: the tensor {name} is missing")
        dense = tensor.layout == torch.strided and tensor.device.type == "cpu"
        if not dense or not tensor.dtype.is_floating_point:
            raise WeightsError(f"{self._path}: {name} is no tensor of real numbers")
        # Before anything is copied: a tensor may claim more than the file has.
        if tuple(tensor.shape) != shape:
            raise WeightsError(
                f"{self._path}: {name} has shape {tuple(tensor.shape)}, where {shape} is expected"
            )
        values = tensor.detach().to(torch.float64).contiguous()
        # In float32, as it will be stored.
        if not values.float().isfinite().all():
            raise WeightsError(f"{self._path}: {name} has values that are no numbers or infinite")
        self._taken.add(name)
        return values

    def check_all(self) -> None:
        """Raise WeightsError where a tensor has not been taken, of those that should be."""
        for name in self._tensors:
            if name not in self._taken and not _LEFT_OUT.fullmatch(name):
                raise WeightsError(f"{self._path}: there is no use for the tensor {name}")


def _network_state(model: GdnHyperprior, tensors: _Tensors) -> dict[str, Tensor]:
    """The parameters of our four networks, in float64."""
    state = {}
    for theirs, ours, shift in _NETWORKS:
        for name, parameter in model.get_submodule(ours).named_parameters():
            number, _, kind = name.partition(".")
            layer = int(number) - shift
            shape = tuple(parameter.shape)
            if layer < 0:
                continue
            if theirs in ("g_a", "g_s") and layer in _GDN_LAYERS:
                root = tensors.take(f"{theirs}.{layer}.{_GDN_NAMES[kind]}", shape)
                state[f"{ours}.{name}"] = _gdn_root(root, kind)
            else:
                state[f"{ours}.{name}"] = tensors.take(f"{theirs}.{layer}.{kind}", shape)
    return state


def _gdn_root(root: Tensor, kind: str) -> Tensor:
    """Our parameters of GDN. CompressAI's too are roots, of beta and gamma plus 2^-36, and bounded."""
    pedestal = GDN_LEAST**2
    floor = GDN_FLOOR if kind == "bias" else 0.0
    square = root.clamp_min(math.sqrt(floor + pedestal)).square() - pedestal
    return (square - floor).clamp_min(pedestal).sqrt()


def _load_density(density: FactorizedDensity, tensors: _Tensors) -> Tensor:
    """Fill the density of z around its medians, and return these, (N,)."""
    medians = tensors.take(_QUANTILES, tuple(density.quantiles.shape))[:, 0, 1]
    state = {
        name: tensors.take(_present_name(_BOTTLENECK + name), tuple(parameter.shape))
        for name, parameter in density.named_parameters()
        if name != "quantiles"
    }
    kinds = {_present_name(_BOTTLENECK + name): name for name in state}
    matrix, bias = state[kinds[f"{_BOTTLENECK}matri0"]], kinds[f"{_BOTTLENECK}bias0"]
    state[bias] = state[bias] + F.softplus(matrix) @ medians[:, None, None]
    for name, parameter in density.named_parameters():
        if name in state:
            parameter.copy_(state[name])
    return medians


def _knots(trade_off: float) -> Knots:
    """log2 of a at the knots: a step is in inverse proportion to the root of lambda, and 1 at ``trade_off``."""
    if not LAMBDA_MIN <= trade_off <= LAMBDA_MAX:
        raise UsageError(
            f"a lambda must lie between {LAMBDA_MIN} and {LAMBDA_MAX}, those of the rates 0 and 1, and "
            f"{trade_off:g} does not"
        )
    octaves = math.log2(LAMBDA_MAX / LAMBDA_MIN)
    code = round(RATE_CODE_MAX * math.log2(trade_off / LAMBDA_MIN) / octaves)
    return octaves / 2 * (np.linspace(0, 1, KNOTS) - rate_from_code(code))


def _vbr_knots(tensors: _Tensors) -> Knots:
    """log2 of a at the knots, from the gains of eight levels: interpolated, and continued at the ends."""
    gains = tensors.take(_GAIN, (len(_VBR_LAMBDAS),)).abs().clamp_min(_LEAST_GAIN).log2().numpy()
    octaves = math.log2(LAMBDA_MAX / LAMBDA_MIN)
    rates = np.log2(np.array(_VBR_LAMBDAS) / LAMBDA_MIN) / octaves
    knots = np.linspace(0, 1, KNOTS)
    inner = np.interp(knots, rates, gains)
    slopes = np.diff(gains) / np.diff(rates)
    below, above = np.minimum(knots - rates[0], 0), np.maximum(knots - rates[-1], 0)
    return np.asarray(inner + slopes[0] * below + slopes[-1] * above)


def _identity_code(knots: Knots) -> int:
    """The rate code at which a is nearest to 1."""
    return code_from_rate(float(np.interp(0, knots, np.linspace(0, 1, KNOTS))))


def _regulator_state(knots: Knots) -> dict[str, Tensor]:
    rises = np.maximum(np.diff(knots), _LEAST_RISE)
    return {
        "regulator.first": torch.from_numpy(knots[:1]),
        "regulator.rises": torch.from_numpy(np.log(np.expm1(rises))),
    }
