"""SSIMULACRA 2 with gradients: the scores of the package, and gradients that training can use."""

from __future__ import annotations

import io

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from ssimulacra2 import compute_ssimulacra2
from torch import Tensor

from vrcodec.metrics.perceptual import measure_ssimulacra2, ssimulacra2_score

# Even and odd sides; fewer than six scales; sides longer than what is blurred in one block.
PICTURES = {
    "astronaut": skimage.data.astronaut()[:384, :512],
    "face": skimage.data.astronaut()[20:220, 120:340],
    "chelsea": skimage.data.chelsea(),
    "fur": skimage.data.chelsea()[50:178, 100:228],
    "coffee": skimage.data.coffee()[100:261, 200:363],
    "rocket": skimage.data.rocket()[:300, 200:500],
    "camera": np.stack([skimage.data.camera()[60:260, 60:360]] * 3, axis=-1),
    "page": np.stack([skimage.data.page()] * 3, axis=-1),
    "small": skimage.data.astronaut()[200:209, 200:213],
    "wide": skimage.data.coffee()[150:190, :600],
}


def as_tensor(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).unsqueeze(0).float() / 255


def as_file(pixels: np.ndarray, kind: str, **options: int) -> io.BytesIO:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("quality", [8, 40, 90])
def test_scores_are_those_of_the_package(name: str, quality: int) -> None:
    picture = PICTURES[name]
    jpeg = as_file(picture, "JPEG", quality=quality)
    decoded = np.asarray(Image.open(jpeg).convert("RGB"))
    expected = compute_ssimulacra2(as_file(picture, "PNG"), as_file(decoded, "PNG"))
    x, x_hat = as_tensor(picture), as_tensor(decoded)
    assert float(ssimulacra2_score(x, x_hat)) == pytest.approx(expected, abs=0.2)
    assert float(ssimulacra2_score(x.double(), x_hat)) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("name", ["fur", "coffee", "small", "wide"])
@pytest.mark.parametrize("pixels", [1, 3000, 1 << 17])
def test_measured_in_strips(name: str, pixels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strips of two rows at the least, by either library."""
    monkeypatch.setattr("vrcodec.metrics.strips._PIXELS", pixels)
    picture = PICTURES[name]
    noise = np.random.default_rng(0).integers(-9, 10, picture.shape)
    worse = np.clip(picture + noise, 0, 255).astype(np.uint8)
    expected = float(ssimulacra2_score(as_tensor(picture), as_tensor(worse)))
    batches = [p.transpose(2, 0, 1)[None] for p in (picture, worse)]
    assert measure_ssimulacra2(*batches) == pytest.approx(expected, abs=0.01)
    tensors = [torch.from_numpy(batch.copy()) for batch in batches]
    assert measure_ssimulacra2(*tensors) == pytest.approx(expected, abs=0.01)


def test_scores_are_the_same_where_networks_compute_in_bfloat16() -> None:
    x = as_tensor(PICTURES["fur"])
    worse = (x + 0.02).clamp(0, 1).requires_grad_()
    expected = ssimulacra2_score(x, worse)
    with torch.autocast("cpu", torch.bfloat16):
        score = ssimulacra2_score(x, worse)
    assert torch.equal(score, expected)


def test_pictures_of_a_batch_are_judged_one_by_one() -> None:
    x = as_tensor(PICTURES["fur"])
    worse = (x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    both = ssimulacra2_score(torch.cat((x, x)), torch.cat((x, worse)))
    assert float(both[0]) == 100
    assert float(both[1]) == pytest.approx(float(ssimulacra2_score(x, worse)), abs=1e-3)


@pytest.mark.parametrize("original", ["photograph", "black", "white", "grey"])
@pytest.mark.parametrize("decoded", ["equal", "nearly equal", "black", "white", "outside", "noise"])
def test_gradients_are_finite(original: str, decoded: str) -> None:
    """Also where pictures are flat, or equal: roots and quotients of nothing."""
    levels = {"black": 0.0, "white": 1.0, "grey": 0.5, "outside": 1.7}
    shape = (2, 3, 64, 64)
    photograph = as_tensor(PICTURES["face"])[..., :64, :64].expand(shape)
    x = torch.full(shape, levels[original]) if original in levels else photograph
    noise = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    near = {"equal": x, "nearly equal": (x + 1e-4 * noise).clamp(0, 1), "noise": noise}
    y = near[decoded] if decoded in near else torch.full(shape, levels[decoded])
    y = y.clone().requires_grad_()
    ssimulacra2_score(x, y).sum().backward()
    assert y.grad is not None
    assert y.grad.isfinite().all()
    assert float(y.grad.abs().max()) < 1e4


def test_following_the_gradient_restores_a_picture() -> None:
    x = as_tensor(PICTURES["fur"])
    y = torch.nn.functional.avg_pool2d(x, 5, 1, 2).clone().requires_grad_()
    optimizer = torch.optim.Adam([y], 0.01)
    before = float(ssimulacra2_score(x, y).detach())
    for _ in range(30):
        optimizer.zero_grad()
        (-ssimulacra2_score(x, y).sum()).backward()
        optimizer.step()
    assert float(ssimulacra2_score(x, y).detach()) > before + 30
