"""A release record of which everything is known, for what is written from records."""

import hashlib
from typing import Any

from builders import a_record

from weighbridge.dossier.disclosure import Component, DataSet, Disclosure, Publisher
from weighbridge.dossier.release import ReleaseRecord
from weighbridge.terms.fact import Category, Licence
from weighbridge.terms.registry import Registry, build_registry

CORPUS = hashlib.sha256(b"corpus").hexdigest()
LLAMA = "LicenseRef-scancode-llama-3.2-license-2024"


def known_licences() -> Registry:
    """Two licences: one of the SPDX list, one known by a name on cards."""
    return build_registry(
        (
            Licence(
                id="Apache-2.0",
                name="Apache License 2.0",
                expression="Apache-2.0",
                card_id="apache-2.0",
                category=Category.PERMISSIVE,
                permissions={},
                text_file="Apache-2.0.txt",
            ),
            Licence(
                id="llama3.2",
                name="Llama 3.2 Community License Agreement",
                expression=LLAMA,
                card_id="llama3.2",
                category=Category.COMMUNITY,
                permissions={},
                text_file="MIT.txt",
            ),
        )
    )


def a_data_set(name: str = "Ocean Corpus", **changes: Any) -> DataSet:
    return DataSet(
        **{
            "name": name,
            "roles": ("training",),
            "origin": "licensed",
            "license": "CC-BY-4.0",
            "description": "Reports about the sea.",
            "url": "https://data.example/ocean",
            "sha256": CORPUS,
            "languages": ("en", "fr"),
            "size_bytes": 12_345,
            "records": 100,
            "tokens": 4_000,
            "collected": "2023-01 to 2024-06",
            "first_used": "2024-07-01",
            "purpose": "General knowledge of the sea.",
            "processing": "Duplicates removed.",
            "personal_data": "no",
            "consumer_data": "no",
            "synthetic": "no",
            **changes,
        }
    )


def a_disclosure(**changes: Any) -> Disclosure:
    return Disclosure(
        **{
            "publisher": Publisher(
                name="Acme Sea Models Ltd",
                address="1 Pier Road, Portsmouth",
                country="GB",
                website="https://acme.example/models",
                contact="models@acme.example",
                security_contact="security@acme.example",
            ),
            "data": (
                a_data_set(),
                a_data_set("held-out", roles=("evaluation",), path="data/held-out.jsonl", license="", url=""),
            ),
            "components": (
                Component(kind="training-code", path="code/train.py", license="MIT", description="How it was trained."),
            ),
            "statements": {"training.energy_mwh": "1.2", "training.process": "One epoch, cosine schedule."},
            **changes,
        }
    )


def a_rich_record(**changes: Any) -> ReleaseRecord:
    """A record with a disclosure, parents by every kind of edge, and resolved terms."""
    parents = (
        {"ref": "meta-llama/Llama-3.2-1B", "relation": "finetune", "license": "llama3.2", "digest": "ab" * 32},
        {"ref": "sea/reports", "relation": "train-data", "license": "CC-BY-4.0"},
        {"ref": "sea/trainer", "relation": "code", "license": "GPL-3.0-only"},
        {"ref": "sea/exam", "relation": "eval-only", "license": ""},
    )
    return a_record(
        **{
            "license": "llama3.2",
            "parents": parents,
            "disclosure": a_disclosure(),
            "terms": {"expression": f"Apache-2.0 AND {LLAMA}", "licences": ["Apache-2.0", "llama3.2"]},
            "openness": {"mof_class": "III", "osaid_met": False, "g7_label": "open weights"},
            **changes,
        }
    )
