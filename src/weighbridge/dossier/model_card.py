"""The `modelCard` of a CycloneDX ML-BOM: parameters, measurements and considerations of a version.

Format: https://cyclonedx.org/docs/1.7/json/#metadata_component_modelCard.
"""

import re
from collections.abc import Mapping
from typing import Any

from weighbridge.dossier.bom_text import text_of
from weighbridge.dossier.release import ReleaseRecord
from weighbridge.evidence.record import Comparison, Measurement

TASK = "text-generation"
"""What the card of every version states as its task."""

_NUMBER = re.compile(r"\d{1,15}(?:\.\d{1,6})?\Z")


def model_card(record: ReleaseRecord) -> dict[str, Any]:
    """Return the model card; empty fields are for the caller to leave out."""
    statements = record.disclosure.statements
    environment = {"energyConsumptions": _energy(statements)}
    biases = text_of(statements, "data.biases")
    return {
        "modelParameters": {
            "task": TASK,
            "architectureFamily": text_of(statements, "model.architecture"),
            "modelArchitecture": text_of(record.architecture, "family"),
            "datasets": [{"ref": f"data:{item.name}"} for item in record.disclosure.data],
            "inputs": [{"format": text_of(statements, "model.input_modalities") or "text"}],
            "outputs": [{"format": text_of(statements, "model.output_modalities") or "text"}],
        },
        "quantitativeAnalysis": {"performanceMetrics": [_metric(item) for item in record.measurements]},
        "considerations": {
            "useCases": [record.texts.intended_use, text_of(statements, "use.integration")],
            "technicalLimitations": [record.texts.limitations],
            "ethicalConsiderations": [{"name": "biases in the data", "mitigationStrategy": biases}] if biases else [],
            "environmentalConsiderations": environment,
        },
        "properties": [
            {"name": "weighbridge:language", "value": language} for language in record.texts.languages if language
        ],
    }


def metric_name(item: Measurement) -> str:
    """Return what was measured, against what, and in which unit, in one line."""
    against = "" if item.comparison is Comparison.ABSOLUTE else f", {item.comparison} to the internal model"
    unit = "" if item.unit in ("", "1") else f" [{item.unit}]"
    return f"{item.measure}{against}{unit}"


def _metric(item: Measurement) -> dict[str, Any]:
    interval = item.interval
    bounds = {"lowerBound": repr(interval.low), "upperBound": repr(interval.high)} if interval else None
    return {
        "type": metric_name(item),
        "value": repr(item.value),
        "slice": f"data sha256:{item.data}" if item.data else None,
        "confidenceInterval": bounds,
    }


def _energy(statements: Mapping[str, str]) -> list[dict[str, Any]]:
    kwh = training_kwh(statements)
    if kwh is None:
        return []
    cost = {"value": kwh, "unit": "kWh"}
    # Who provided it is not stated. The format asks for the list and lets it be empty; a tuple is not left out.
    return [{"activity": "training", "energyProviders": (), "activityEnergyCost": cost}]


def training_kwh(statements: Mapping[str, str]) -> float | None:
    """Return the energy of training in kWh where the publisher states it as a plain number of MWh."""
    text = text_of(statements, "training.energy_mwh")
    return float(text) * 1000 if _NUMBER.match(text) else None
