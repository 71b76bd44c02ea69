"""Benchmarks: each a ratio in one run, against a named peer or a physical floor."""

from pathlib import Path

DATA = Path(__file__).resolve().parent / "data"
"""Where benchmarks put what they make; removed when they end."""
