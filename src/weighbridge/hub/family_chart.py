"""The charts of a family: each quality measure against size."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from weighbridge.dossier.figure import NOT_MEASURED, find, measurement_text, size_text
from weighbridge.evidence.record import Comparison, Measurement
from weighbridge.hub.chart import Axis, Point, Reference, scatter
from weighbridge.hub.family import Family, VersionView, source_bytes, state

if TYPE_CHECKING:
    from markupsafe import Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityChart:
    """One measure against size, drawn for a wide and for a narrow screen."""

    caption: str
    wide: "Markup"
    narrow: "Markup"


_LOGARITHMIC_FROM = 4.0
"""Sizes that span more than this factor are drawn by logarithm, or the small versions would lie on one heap."""


def quality_charts(family: Family) -> list[QualityChart]:
    """Return a chart of each measure that at least one version has."""
    return [
        chart
        for measure, comparison, title, axis_title, level in (
            ("perplexity", Comparison.RATIO, "Perplexity ratio", "perplexity ÷ internal model’s", 1.0),
            ("kl_divergence", None, "KL divergence", "KL divergence, nats", None),
        )
        if (chart := _chart(family, measure, comparison, title, axis_title, level)) is not None
    ]


def _chart(
    family: Family, measure: str, comparison: Comparison | None, title: str, axis_title: str, level: float | None
) -> QualityChart | None:
    pairs = [(view, find(view.record, measure, comparison)) for view in family.versions]
    measured = [(view, item) for view, item in pairs if item is not None]
    if not measured:
        return None
    names = _short_names([view.record.version for view, _ in measured])
    points = [_point(view, item, name) for (view, item), name in zip(measured, names, strict=True)]
    values = [point.y for point in points]
    # A ratio is compared with 1, which a straight axis shows honestly until one version is several times worse.
    logarithmic = min(values) > 0 and (level is None or max(values) > _LOGARITHMIC_FROM)
    source = source_bytes(family)
    sizes = [float(view.record.manifest.size_bytes) for view in family.versions] + ([source] if source else [])
    x_logarithmic = min(sizes) > 0 and max(sizes) > _LOGARITHMIC_FROM * min(sizes)
    x_axis = Axis(
        title=f"size{' (logarithmic)' if x_logarithmic else ''}", tick_text=tick_size, logarithmic=x_logarithmic
    )
    y_axis = Axis(
        title=f"{axis_title} (logarithmic)" if logarithmic else axis_title, tick_text=_tick, logarithmic=logarithmic
    )
    reference = None if level is None else Reference(name="internal model", y=level, x=source)

    def drawn(variant: str, width: int, height: int) -> "Markup":
        from markupsafe import Markup

        key = f"{measure.replace('_', '-')}-{variant}"
        drawing = scatter(
            points,
            key=key,
            title=f"{title} against size",
            x_axis=x_axis,
            y_axis=y_axis,
            reference=reference,
            x_also=sizes,
            width=width,
            height=height,
        )
        return Markup(drawing)  # noqa: S704  # `scatter` escapes every text

    absent = len(pairs) - len(measured)
    zero = "" if level is not None else " The internal model would be 0, below the axis." if logarithmic else ""
    missing = f" {absent} of {len(pairs)} versions: {NOT_MEASURED}." if absent else ""
    return QualityChart(
        caption=f"{title} against size; lower is closer to the internal model.{zero}{missing}",
        wide=drawn("wide", 560, 380),
        narrow=drawn("narrow", 344, 340),
    )


def _tick(value: float) -> str:
    return f"{value:.10f}".rstrip("0").rstrip(".")


def tick_size(size_bytes: float) -> str:
    """Return a size for a tick: no decimals that say nothing."""
    return re.sub(r"\.0+(?= )", "", size_text(size_bytes)) if size_bytes else "0"


def _point(view: VersionView, item: Measurement, name: str) -> Point:
    record = view.record
    shown = measurement_text(item)
    return Point(
        name=name,
        x=float(record.manifest.size_bytes),
        y=item.value,
        low=item.interval.low if item.interval else None,
        high=item.interval.high if item.interval else None,
        passed=state(view)[0] != "refused",
        detail=f"{record.version}: {size_text(record.manifest.size_bytes)}, {shown}, {state(view)[2]}",
    )


def _short_names(names: Sequence[str]) -> list[str]:
    """Return the names less the words that all begin with, as long as something is left of each."""
    split = [name.split("-") for name in names]
    shared = 0
    while len(split) > 1 and all(len(words) > shared + 1 and words[shared] == split[0][shared] for words in split):
        shared += 1
    return ["-".join(words[shared:]) for words in split]
