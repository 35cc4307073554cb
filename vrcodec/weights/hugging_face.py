"""The layout of the Hugging Face hub: model.safetensors, config.json, and a model card README.md."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from vrcodec.catalog import WeightsEntry, encoder_path
from vrcodec.errors import UsageError, WeightsError
from vrcodec.extras import require
from vrcodec.files import check_absent, write_atomically
from vrcodec.models.weights import read_bytes
from vrcodec.weights.store import CONFIG_NAME, as_output_errors

SCHEME = "hf"
_WEIGHTS_NAME = "model.safetensors"
_ADDRESS = re.compile(r"hf://(?P<repository>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
_TUNES = {"psnr": "PSNR", "ssimulacra2": "SSIMULACRA 2"}
_METRICS = {
    "psnr": "PSNR (dB)",
    "ms_ssim": "MS-SSIM",
    "ssimulacra2": "SSIMULACRA 2",
    "haarpsi": "HaarPSI",
}
_FILES = [CONFIG_NAME, "*.safetensors"]


def download(address: str) -> Path:
    """A folder with the files of hf://OWNER/NAME or hf://OWNER/NAME@REVISION, in the cache of huggingface_hub.

    Raises UsageError where that package is missing, or WeightsError.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise UsageError(f"{address}: must be hf://OWNER/NAME or hf://OWNER/NAME@REVISION")
    require("huggingface_hub", "hub", "hf://")
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(
            match["repository"], revision=match["revision"], allow_patterns=_FILES
        )
    except (OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise WeightsError(f"{address}: cannot be fetched: {reason}") from error
    return Path(folder)


def build_model_card(entry: WeightsEntry) -> str:
    """The README.md of weights, with the figures of their card, in Markdown with a YAML header."""
    card = entry.card
    header = {
        "license": "apache-2.0",
        "library_name": "vrcodec",
        "tags": ["image-compression", "learned-compression", entry.family],
    }
    lines = [
        "---",
        *(f"{key}: {json.dumps(value)}" for key, value in header.items()),
        "---",
        "",
        f"# vrcodec {entry.name}",
        "",
        f"Weights `{entry.id.hex()}` of the learned image codec vrcodec, family `{entry.family}`, trained for "
        f"{_TUNES.get(entry.tune, entry.tune)}: one set for every rate from 0 to 1.",
        "",
        "```sh",
        "vrcodec weights add FOLDER",
        f"vrcodec encode photo.png --model {entry.model}",
        "```",
    ]
    if "curve" in card:
        lines += ["", *_curve_table(card)]
    if "bd_rate_percent" in card:
        lines += ["", *_bd_rate_table(card)]
    return "\n".join(lines) + "\n"


def _curve_table(card: dict[str, Any]) -> list[str]:
    metrics = [name for name in _METRICS if name in card["curve"][0]]
    pictures = card["pictures"]
    return [
        f"Means over {pictures['count']} pictures ({pictures['folder']}), of real files:",
        "",
        "| rate | bits a pixel | " + " | ".join(_METRICS[name] for name in metrics) + " |",
        "| --- " * (2 + len(metrics)) + "|",
        *(
            f"| {point['setting']} | {point['bpp']:.3f} | "
            + " | ".join(f"{point[name]:.4g}" for name in metrics)
            + " |"
            for point in card["curve"]
        ),
    ]


def _bd_rate_table(card: dict[str, Any]) -> list[str]:
    by_metric = {"psnr": card["bd_rate_percent"], **card.get("bd_rate_percent_by_metric", {})}
    rivals = list(card["bd_rate_percent"])
    return [
        "Bits at equal quality against other codecs (BD-rate), in percent:",
        "",
        "| by | " + " | ".join(rivals) + " |",
        "| --- " * (1 + len(rivals)) + "|",
        *(
            f"| {metric} | "
            + " | ".join(f"{rates[r]:+.1f}" if r in rates else "" for r in rivals)
            + " |"
            for metric, rates in by_metric.items()
        ),
    ]


def export(entry: WeightsEntry, folder: Path, *, overwrite: bool) -> None:
    """Write weights to ``folder`` in this layout, all files or none. Raises WeightsError or OutputError."""
    target = folder / _WEIGHTS_NAME
    files = {target: read_bytes(entry.path)}
    if entry.encoder_id is not None:
        files[encoder_path(target)] = read_bytes(encoder_path(entry.path))
    files[folder / CONFIG_NAME] = (json.dumps(entry.card, indent=1) + "\n").encode()
    files[folder / "README.md"] = build_model_card(entry).encode()
    with as_output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if not overwrite:
        for path in files:
            check_absent(path)
    for path, data in files.items():
        write_atomically(path, data, overwrite=overwrite)
