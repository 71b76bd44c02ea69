"""Licences that this version knows by name, their texts, and the NOTICE of a release.

A licence is known by its SPDX identifier, or by the name that Hugging Face cards use where SPDX has none. What each of
them says is in `registry`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from weighbridge.errors import InputError
from weighbridge.terms.expression import parse
from weighbridge.terms.fact import Licence as Licence
from weighbridge.terms.registry import archived, registry

_COPYRIGHT = "{copyright}"
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+ ()-]{0,199}\Z")


class Relation(StrEnum):
    """How a model descends from another work."""

    FINETUNE = "finetune"
    ADAPTER = "adapter"
    QUANTISE = "quantise"
    MERGE = "merge"
    DISTIL = "distil"
    TRAIN_DATA = "train-data"
    CODE = "code"
    EVAL_ONLY = "eval-only"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """A work that a model descends from, as its publisher states it.

    Attributes:
        ref: name of the work, for example `owner/model`.
        relation: how the model descends from it.
        license: its licence, as stated.
    """

    ref: str
    relation: Relation
    license: str

    def to_json(self) -> dict[str, str]:
        """Return a JSON form."""
        return {"ref": self.ref, "relation": str(self.relation), "license": self.license}


class _Known(Mapping[str, Licence]):
    """Licences by id, read when one is asked for: most verbs never ask."""

    def __getitem__(self, license_id: str) -> Licence:
        licence = registry().get(license_id)
        if licence is None or licence.id != license_id:
            raise KeyError(license_id)
        return licence

    def __iter__(self) -> Iterator[str]:
        return (licence.id for licence in registry().all)

    def __len__(self) -> int:
        return len(registry().all)


KNOWN: Mapping[str, Licence] = _Known()
"""Every licence of the registry by its id, spelt as the registry spells it."""


def check_licence(license_id: str, *, text_supplied: bool, copyright_line: str = "") -> None:
    """Make sure that a LICENSE file can be written for `license_id`.

    Args:
        license_id: identifier as in the plan.
        text_supplied: whether the publisher supplies the text.
        copyright_line: year and holder, for texts that have a line for them.

    Raises:
        InputError: if not; the hint says what to do.
    """
    if not _IDENTIFIER.match(license_id):
        raise InputError(f"{license_id!r} is not a licence identifier", hint=f"For example {_carried()}.")
    if text_supplied:
        return
    for name in parts_of(license_id):
        _check_text(name, copyright_line)


def parts_of(license_id: str) -> tuple[str, ...]:
    """Return the licences that an SPDX expression names; of a single licence that one.

    Raises:
        InputError: if it is no expression.
    """
    if license_id in KNOWN:
        return (license_id,)
    leaves = parse(license_id, registry()).leaves
    return (license_id,) if len(leaves) == 1 else tuple(leaf.id for leaf in leaves)


def _check_text(license_id: str, copyright_line: str) -> None:
    licence = KNOWN.get(license_id)
    if licence is None:
        meant = registry().get(license_id)
        advice = f"Did you mean {meant.id}? Otherwise supply" if meant else "Supply"
        raise InputError(
            f"the licence {license_id!r} is not known to this version, and its text is not supplied",
            hint=f"{advice} the text with `license_file`. `weighbridge licence show` lists those that are known.",
        )
    if not licence.text_file:
        raise InputError(
            f"the text of {licence.id} ({licence.name}) does not ship with Weighbridge and must be supplied",
            hint="Put the text in a file and name it with `license_file`.",
        )
    if licence.needs_copyright and not copyright_line.strip():
        raise InputError(
            f"the text of {licence.id} names year and holder of the copyright, which are not given",
            hint="Add `copyright: 2026 Your Organisation`, or supply the whole text with `license_file`.",
        )


def licence_text(license_id: str, *, copyright_line: str = "") -> str:
    """Return the text of one licence that ships with Weighbridge, with its copyright line filled in.

    Raises:
        InputError: as `check_licence` does.
    """
    check_licence(license_id, text_supplied=False, copyright_line=copyright_line)
    licence = KNOWN[license_id]
    text = archived(licence.text_file)
    return text.replace(_COPYRIGHT, copyright_line.strip()) if licence.needs_copyright else text


def notice(
    model: str,
    parents: Sequence[Parent],
    *,
    license_id: str,
    title: str = "",
    copyright_line: str = "",
    changes: Sequence[str] = (),
) -> str:
    """Return the NOTICE of a release: whose work it is, what it descends from, and what was changed.

    Args:
        model: `owner/name` of the version.
        parents: the works that it descends from, as the publisher states them.
        license_id: licence of the release.
        title: title of the model; `model` if empty.
        copyright_line: year and holder; left out if empty.
        changes: what was done to the files on the way, one sentence each. Licences such as Apache-2.0 (4b) ask that
            changed files say so.
    """
    heading = f"{title}\n{model}" if title else model
    if copyright_line.strip():
        heading += f"\nCopyright {copyright_line.strip()}"
    blocks = [heading, f"Licence of this release: {license_id}. Its text is in the file LICENSE."]
    if parents:
        works = "\n".join(f"  - {parent.ref} ({parent.relation}), licence: {parent.license}" for parent in parents)
        blocks.append(
            "This model descends from the works below. Names and licences are as its publisher states them; the\n"
            f"terms of each work are in its own licence.\n\n{works}"
        )
    if changes:
        blocks.append("The files were changed:\n\n" + "\n".join(f"  - {change}" for change in changes))
    return "\n\n".join(blocks) + "\n"


def _carried() -> str:
    return ", ".join(licence.id for licence in KNOWN.values() if licence.text_file)
