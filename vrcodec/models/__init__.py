"""The model families. Importing this package imports torch."""

from vrcodec.models.base import FAMILIES, VariableRateModel
from vrcodec.models.gained import Gained
from vrcodec.models.hyperprior import HyperpriorModel
from vrcodec.models.qarv import Qarv
from vrcodec.models.qmap import Qmap
from vrcodec.models.qvrf import Qvrf
from vrcodec.models.slim import Slim

# Whose networks choose tables, behind the guard band.
Guarded = HyperpriorModel | Qarv

__all__ = ["FAMILIES", "Gained", "Guarded", "Qarv", "Qmap", "Qvrf", "Slim", "VariableRateModel"]
