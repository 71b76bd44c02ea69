"""How open a release is, recomputed from what lies in it; pure."""

from weighbridge.terms.openness.component import KINDS, UNLICENSED, Part
from weighbridge.terms.openness.openness import Openness, assess

__all__ = ["KINDS", "UNLICENSED", "Openness", "Part", "assess"]
