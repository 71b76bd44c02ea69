"""A bill of materials as it was read, in whichever format it came."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class BomLicence:
    """A licence that a bill of materials states.

    Attributes:
        stated: SPDX expression, identifier or name, in its words.
        kind: `declared`, `concluded`, or empty where it does not say.
    """

    stated: str
    kind: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BomComponent:
    """A component; texts are empty where it does not say.

    Attributes:
        id: `bom-ref` or `spdxId`.
        type: in the words of the format, such as `machine-learning-model` or `ai_AIPackage`.
        name: with its group before it, as in `group/name`.
        version: as stated.
        licences: what it states about them; nothing where it says "no assertion".
        hashes: (algorithm, hexadecimal value), both in lower case, as in `("sha256", "ab…")`; not checked.
    """

    id: str
    type: str
    name: str
    version: str = ""
    licences: tuple[BomLicence, ...] = ()
    hashes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bom:
    """What a bill of materials states.

    Attributes:
        format: `cyclonedx` or `spdx`.
        version: of the format, such as `1.7` or `3.0.1`.
        serial: its own identifier; empty where it has none.
        subject: what it is about; None where it does not say, or names several things.
        components: everything else that it lists, less the ancestors.
        ancestors: the works that the subject descends from.
    """

    format: str
    version: str
    serial: str = ""
    subject: BomComponent | None = None
    components: tuple[BomComponent, ...] = ()
    ancestors: tuple[BomComponent, ...] = ()

    def hash_of(self, name: str, algorithm: str = "sha256") -> str:
        """Return the hash that it states for the component `name`; empty where it states none, or two that differ."""
        found = {
            value for item in self.components if item.name == name for key, value in item.hashes if key == algorithm
        }
        return found.pop() if len(found) == 1 else ""


def text_in(value: object) -> str:
    """Return `value` if it is a text, without white space around it; anything else is empty."""
    return value.strip() if isinstance(value, str) else ""


def texts_in(value: object) -> list[str]:
    """Return the texts of a list, or a single text as a list of one."""
    if isinstance(value, str):
        return [value]
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def objects_in(value: object) -> list[Mapping[str, Any]]:
    """Return the objects of a list; whatever else it holds is passed over."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
