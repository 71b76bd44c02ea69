"""`weighbridge weigh`: measure the versions of a plan against the internal model."""

import argparse

from weighbridge.shell.cli.output import print_json, print_table
from weighbridge.shell.cli.plan_options import add_plan_arguments, open_line

add_arguments = add_plan_arguments


def run(options: argparse.Namespace) -> int:
    """Derive, audit and weigh."""
    with open_line(options) as line:
        weighed = line.weighed()
    if options.json:
        print_json({"versions": [version.evidence.to_json() for version in weighed]})
        return 0
    for version in weighed:
        rows = [
            (f"{m.measure}{'' if m.baseline is None else f' ({m.comparison} to source)'}", *_cells(m))
            for m in version.evidence.measurements
        ]
        print_table(version.version.name, ("measure", "value", "interval", "n", "unit"), rows)
    return 0


def _cells(measurement: object) -> tuple[str, str, str, str]:
    from weighbridge.evidence.record import Measurement

    assert isinstance(measurement, Measurement)
    interval = measurement.interval
    return (
        _number(measurement.value),
        f"{_number(interval.low)} to {_number(interval.high)}"
        if interval
        else "exact"
        if measurement.n is None
        else "",
        "" if measurement.n is None else str(measurement.n),
        measurement.unit,
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.4g}"
