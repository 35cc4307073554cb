"""The model families. Importing this package imports torch."""

from vrcodec.models.base import FAMILIES, VariableRateModel
from vrcodec.models.gained import Gained
from vrcodec.models.qmap import Qmap
from vrcodec.models.qvrf import Qvrf

__all__ = ["FAMILIES", "Gained", "Qmap", "Qvrf", "VariableRateModel"]
