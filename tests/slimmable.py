"""Small models of the slimmable family: their widths and sizes."""

from __future__ import annotations

from vrcodec.codec import Encoder
from vrcodec.models import Slim
from vrcodec.models.networks.backbone import BackboneSize

WIDTHS = (8, 16, 24)

# As the tiny frozen `gained`, at three widths.
SIZE = BackboneSize(
    channels=24, latent=32, hyper=0, blocks=1, prior=0, widths=(8, 16, 24), reach=(0.5, 0.8, 1.0)
)


def model_of(encoder: Encoder) -> Slim:
    assert isinstance(encoder.model, Slim)
    return encoder.model
