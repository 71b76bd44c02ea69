"""What a publisher discloses beyond what can be measured: who they are, data sets, components, and statements.

Nothing here was checked by Weighbridge; documents that repeat it say that the publisher states it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from weighbridge.terms.json_form import decode, encode

DATA_ROLES = ("training", "fine-tuning", "evaluation", "calibration")
DATA_ORIGINS = ("public", "licensed", "private", "scraped", "user", "synthetic")
"""The sources of the EU's template for the summary of training content."""
YES_NO = ("yes", "no", "unknown")


@dataclass(frozen=True, slots=True, kw_only=True)
class Publisher:
    """Who publishes. Empty where not stated.

    Attributes:
        name: legal name.
        address: postal address, one line.
        country: of its seat, ISO 3166-1 alpha-2.
        website: address of its site.
        contact: for questions about the model.
        security_contact: for reports of incidents and vulnerabilities.
        downloads: address under which the versions can be had.
    """

    name: str = ""
    address: str = ""
    country: str = ""
    website: str = ""
    contact: str = ""
    security_contact: str = ""
    downloads: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """A data set that the model was made or weighed with, as the publisher states it. Empty where not stated.

    Attributes:
        name: unique in the disclosure.
        roles: any of `DATA_ROLES`.
        origin: one of `DATA_ORIGINS`, or empty.
        license: SPDX expression or name.
        description: what is in it.
        url: where it can be had; empty if nowhere.
        originator: who made it.
        built, released: the days on which it was finished and first handed out, ISO 8601.
        path: where it lies in the release; empty if it is not in it.
        sha256: of its bytes or manifest.
        modalities: such as `text`, `image`.
        languages: BCP 47 codes.
        size_bytes, records, tokens: how large; None where not stated.
        collected: when, such as "2023-01 to 2024-06".
        first_used: the date of its first use in development, ISO 8601.
        purpose: how it serves the model's purpose.
        processing: how it was cleaned, filtered and modified, and why.
        purchased_or_licensed, copyrighted, personal_data, consumer_data, synthetic: `yes`, `no` or `unknown`.
    """

    name: str
    roles: tuple[str, ...]
    origin: str = ""
    license: str = ""
    description: str = ""
    url: str = ""
    originator: str = ""
    built: str = ""
    released: str = ""
    path: str = ""
    sha256: str = ""
    modalities: tuple[str, ...] = ("text",)
    languages: tuple[str, ...] = ()
    size_bytes: int | None = None
    records: int | None = None
    tokens: int | None = None
    collected: str = ""
    first_used: str = ""
    purpose: str = ""
    processing: str = ""
    purchased_or_licensed: str = "unknown"
    copyrighted: str = "unknown"
    personal_data: str = "unknown"
    consumer_data: str = "unknown"
    synthetic: str = "unknown"

    def __post_init__(self) -> None:
        _one_of(self.roles, DATA_ROLES, f"data set {self.name!r}: roles")
        _one_of((self.origin,) if self.origin else (), DATA_ORIGINS, f"data set {self.name!r}: origin")
        for name in ("purchased_or_licensed", "copyrighted", "personal_data", "consumer_data", "synthetic"):
            _one_of((getattr(self, name),), YES_NO, f"data set {self.name!r}: {name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A part of the work behind a model that is published with it.

    Attributes:
        kind: id of a component of the Model Openness Framework, such as `training-code` (`terms.openness`).
        path: file or folder in the release; empty if it is elsewhere.
        url: where it is, if not in the release.
        license: SPDX expression; empty where not stated.
        description: what it is.
    """

    kind: str
    path: str = ""
    url: str = ""
    license: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disclosure:
    """Everything that the publisher discloses.

    Attributes:
        publisher: who.
        data: data sets.
        components: parts published with the model.
        statements: answers to single fields of the duty forms, by field id (`dossier.duty`), such as
            `training.compute_flop` or `copyright_policy`; texts.
    """

    publisher: Publisher = field(default_factory=Publisher)
    data: tuple[DataSet, ...] = ()
    components: tuple[Component, ...] = ()
    statements: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [item.name for item in self.data]
        if repeated := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two data sets are named {repeated!r}")

    def to_json(self) -> dict[str, Any]:
        """Return a JSON form, `from_json` reads it back."""
        form: dict[str, Any] = encode(self)
        return form

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Disclosure":
        """Read the form that `to_json` writes.

        Raises:
            ValueError: if it has another shape, or a value another type.
        """
        disclosure: Disclosure = decode(Disclosure, data, place="disclosure")
        return disclosure


def _one_of(values: tuple[str, ...], allowed: tuple[str, ...], what: str) -> None:
    if bad := next((value for value in values if value not in allowed), None):
        raise ValueError(f"{what} cannot be {bad!r}: one of {', '.join(allowed)}")
