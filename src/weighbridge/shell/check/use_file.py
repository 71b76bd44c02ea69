"""A use file to an `OurUse`: strict, every error at its line and column, and all of them at once."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weighbridge.adopt.check.answer import Waiver
from weighbridge.adopt.check.use import OurUse, Required
from weighbridge.checkpoint.walk import open_regular, read_prefix
from weighbridge.errors import CheckpointError
from weighbridge.shell.check.use_complaint import MAX_ERRORS, UseFileError, schema_errors, shown
from weighbridge.shell.yaml_document import MAX_BYTES, Document, Kind, Trail, read_document
from weighbridge.terms.fact import Metric
from weighbridge.terms.territory import country
from weighbridge.terms.use import Use

if TYPE_CHECKING:
    from weighbridge.gate.policy import Rule

_DIGEST = re.compile(r"(sha256:)?[0-9a-f]{64}\Z")
_ISO = (
    "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA "
    "CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA "
    "GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP "
    "KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS "
    "MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS "
    "RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW "
    "TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW"
)
_COUNTRIES = frozenset(_ISO.split())
"""ISO 3166-1 alpha-2 (https://www.iso.org/obp/ui/#search): a code that is none would be outside of every limit."""


_KIND = Kind(noun="a use file", error=UseFileError, hint=UseFileError.hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerEntry:
    """Somebody whose signatures we accept, as the use file or the command line names them."""

    key: Path | None = None
    certificates: Path | None = None
    signer_name: str = ""
    identity: str = ""
    issuer: str = ""
    trust_config: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UseFile:
    """What a use file states, and the files that it names.

    Attributes:
        ours: who we are and what we plan.
        signers: whose signatures we accept.
        root: the publisher's root.json; None if not named.
        sample: our own text; None if not named.
        adapter_base: folder of the base for an adapter; None if it is named by a digest, or not at all.
    """

    ours: OurUse
    signers: tuple[SignerEntry, ...] = ()
    root: Path | None = None
    sample: Path | None = None
    adapter_base: Path | None = None


def load_use(path: Path) -> UseFile:
    """Read the use file at `path`.

    Raises:
        UseFileError: if it cannot be read, or is wrong.
    """
    try:
        descriptor = open_regular(path, place=str(path))
        with open(descriptor, "rb"):  # noqa: PTH123  # closes what open_regular opened
            data = read_prefix(descriptor, MAX_BYTES + 1, place=str(path))
    except CheckpointError as error:
        raise UseFileError(f"the use file cannot be read: {error.message}", place=str(path)) from error
    return read_use(data, path=path)


def read_use(data: bytes, *, path: Path) -> UseFile:
    """Read a use file from its bytes; `path` is where it lies.

    Raises:
        UseFileError: if it is wrong.
    """
    document = read_document(data, file=str(path), kind=_KIND)
    if document.value is None:
        raise UseFileError("the use file is empty", place=f"{path}:1:1")
    errors = list(islice(schema_errors(document), MAX_ERRORS))
    reader = _Reader(document, Path.cwd() / path.parent, errors)
    found = None if errors else reader.read(hashlib.sha256(data).hexdigest())
    if errors or found is None:
        first, *others = sorted(errors, key=lambda e: tuple(int(n) for n in e.place.rsplit(":", 2)[1:]))
        first.others = tuple(others)
        raise first
    return found


@dataclass(slots=True)
class _Reader:
    """Turns a document that the schema accepts into values, and collects what a schema cannot see."""

    document: Document
    folder: Path
    errors: list[UseFileError] = field(default_factory=list)

    def read(self, digest: str) -> UseFile:
        written: Mapping[str, Any] = self.document.value
        base = written.get("adapter_base", "")
        by_digest = bool(_DIGEST.match(base))
        return UseFile(
            ours=self.ours(written, digest, base.removeprefix("sha256:") if by_digest else base),
            signers=tuple(self.signer(item) for item in written.get("trusted_signers", ())),
            root=self.path(written, "trusted_root"),
            sample=self.path(written, "sample"),
            adapter_base=None if by_digest else self.path(written, "adapter_base"),
        )

    def ours(self, written: Mapping[str, Any], digest: str, base: str) -> OurUse:
        required = written.get("required", {})
        return OurUse(
            place=self.document.file,
            sha256=digest,
            use=self.use(written),
            fine_tune_share=written.get("fine_tune_compute_share"),
            name_as=written.get("name_as", ""),
            signers=len(written.get("trusted_signers", ())),
            required=Required(
                **required.get("openness", {}),
                evidence=tuple(self.rules(required.get("evidence", ()))),
                documents=tuple(required.get("documents", ())),
            ),
            sample=written.get("sample", ""),
            adapter_base=base,
            waivers=tuple(self.waivers(written.get("waivers", ()))),
        )

    def use(self, written: Mapping[str, Any]) -> Use:
        amounts, months = self.amounts(written)
        territories = written.get("territories")
        seat = written.get("seat")
        return Use(
            purpose=written.get("purpose", ""),
            commercial=written.get("commercial"),
            fields=None if "fields" not in written else tuple(written["fields"]),
            amounts=amounts,
            amounts_in=months,
            seat=None if seat is None else self.country(seat, ("seat",)),
            territories=None
            if territories is None
            else tuple(self.country(code, ("territories", n)) for n, code in enumerate(territories)),
            fine_tunes=written.get("fine_tune"),
            distils=written.get("distil"),
            hosts=written.get("host"),
            redistributes=written.get("redistribute"),
            end_user_only=written.get("end_user_only", False),
        )

    def country(self, code: str, trail: Trail) -> str:
        if country(code) not in _COUNTRIES:
            self.refuse(trail, f"{shown(code)} is no country of ISO 3166-1 (alpha-2 code)")
        return country(code)

    def amounts(self, written: Mapping[str, Any]) -> tuple[dict[Metric, int], dict[Metric, dict[date, int]]]:
        highest: dict[Metric, int] = {}
        months: dict[Metric, dict[date, int]] = {}
        for metric in Metric:
            stated = written.get(str(metric))
            if isinstance(stated, Mapping):
                if "highest" in stated:
                    highest[metric] = stated["highest"]
                months[metric] = {
                    self.month(key, (str(metric), key)): value for key, value in stated.items() if key != "highest"
                }
                if months[metric] and max(months[metric].values()) > highest.get(metric, 1 << 62):
                    self.refuse((str(metric), "highest"), "a month is above the `highest`: correct one of them")
            elif stated is not None:
                highest[metric] = stated
        return highest, months

    def month(self, text: str, trail: Trail) -> date:
        try:
            return date.fromisoformat(f"{text}-01")
        except ValueError:
            self.refuse(trail, f"{shown(text)} is no month such as 2024-08")
            return date.min

    def rules(self, written: Sequence[Any]) -> "Iterator[Rule]":
        if not written:
            return
        from weighbridge.gate.policy import rule_from_json

        for number, item in enumerate(written):
            try:
                yield rule_from_json(item)
            except ValueError as error:
                self.refuse(("required", "evidence", number), str(error))

    def waivers(self, written: Any) -> Iterator[Waiver]:
        for number, item in enumerate(written):
            try:
                day = date.fromisoformat(item["until"])
            except ValueError:
                self.refuse(("waivers", number, "until"), f"{shown(item['until'])} is no day such as 2026-12-31")
                continue
            until = datetime.combine(day, time(23, 59, 59), UTC)
            yield Waiver(question=item["question"], by=item["by"], until=until, reason=item["reason"])

    def signer(self, item: Mapping[str, Any]) -> SignerEntry:
        return SignerEntry(
            key=self.path(item, "key"),
            certificates=self.path(item, "certificates"),
            signer_name=item.get("signer_name", ""),
            identity=item.get("identity", ""),
            issuer=item.get("issuer", ""),
            trust_config=self.path(item, "trust_config"),
        )

    def path(self, written: Mapping[str, Any], key: str) -> Path | None:
        return self.folder / Path(written[key]).expanduser() if key in written else None

    def refuse(self, trail: Trail, message: str) -> None:
        self.errors.append(UseFileError(message, place=self.document.place(trail)))
