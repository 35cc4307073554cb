"""The model families."""

from vrcodec.models.base import FAMILIES, VariableRateModel
from vrcodec.models.families.gained import Gained
from vrcodec.models.families.hyperprior import GdnHyperprior
from vrcodec.models.families.qarv import Qarv
from vrcodec.models.families.qmap import Qmap
from vrcodec.models.families.qvrf import Qvrf
from vrcodec.models.families.slim import Slim
from vrcodec.models.hyperprior import HyperpriorModel

# Families whose networks choose tables, through the guard band.
GuardedModel = HyperpriorModel | Qarv

__all__ = [
    "FAMILIES",
    "Gained",
    "GdnHyperprior",
    "GuardedModel",
    "Qarv",
    "Qmap",
    "Qvrf",
    "Slim",
    "VariableRateModel",
]
