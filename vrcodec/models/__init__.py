"""The model families. Importing this package imports torch."""

from vrcodec.models.base import FAMILIES, VariableRateModel
from vrcodec.models.coding.hyperprior import HyperpriorModel
from vrcodec.models.families.gained import Gained
from vrcodec.models.families.qarv import Qarv
from vrcodec.models.families.qmap import Qmap
from vrcodec.models.families.qvrf import Qvrf
from vrcodec.models.families.slim import Slim

# Whose networks choose tables, behind the guard band.
Guarded = HyperpriorModel | Qarv

__all__ = ["FAMILIES", "Gained", "Guarded", "Qarv", "Qmap", "Qvrf", "Slim", "VariableRateModel"]
