"""The model families. Importing this package imports torch."""

from vrcodec.models.base import FAMILIES, VariableRateModel
from vrcodec.models.gained import Gained

__all__ = ["FAMILIES", "Gained", "VariableRateModel"]
