"""Answers that follow from the bytes, the measurements, the licences and the publisher's texts of a release."""

import re
from typing import Any

from weighbridge.dossier.duty.field import Known, statement
from weighbridge.dossier.duty.freedom import free_licence
from weighbridge.dossier.figure import find, measurement_text, number_text, size_text
from weighbridge.dossier.recorded import recorded_terms
from weighbridge.dossier.release import ReleaseRecord
from weighbridge.terms.territory import country, within

_SIZE_RANGES = (
    (500e6, "1 to 500 million"),
    (5e9, "500 million to 5 billion"),
    (15e9, "5 to 15 billion"),
    (50e9, "15 to 50 billion"),
    (100e9, "50 to 100 billion"),
    (500e9, "100 to 500 billion"),
    (1e12, "500 billion to 1 trillion"),
)
_FORMATS = {
    "gguf": "A GGUF file, which llama.cpp and the tools built on it load.",
    "safetensors": "Safetensors with configuration and tokenizer, which transformers and the tools built on it load.",
}
_EXPONENT = r"(?P<exponent>\d{1,3}(?!\d)|[⁰¹²³⁴⁵⁶⁷⁸⁹]{1,3})"
_FLOP = re.compile(
    rf"(?<![\d.,])(?P<mantissa>\d{{1,6}}(?:[.,]\d{{1,6}})?)\s*(?:[eE]\+?|[x×*·]\s*10\s*(?:\^|\*\*)?\s*){_EXPONENT}"
)
_POWER = re.compile(rf"(?<![\d.,])10(?:\s*(?:\^|\*\*)\s*(?=\d)|(?=[⁰¹²³⁴⁵⁶⁷⁸⁹])){_EXPONENT}")
_PLAIN = re.compile(r"(?<![\d.,])\d{16,40}(?![\d.,])")
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


_UNCLEAR = ("unknown-licence", "missing-text", "text-differs", "unclear-fact")
"""Remarks about the chain that leave open what else may be forbidden."""


def legal_name(record: ReleaseRecord) -> Known | None:
    """Return who publishes."""
    name = record.disclosure.publisher.name.strip()
    return Known(value=name) if name else None


def name_and_contact(record: ReleaseRecord) -> Known | None:
    """Return name, address and contact of the publisher."""
    publisher = record.disclosure.publisher
    contact = publisher.contact.strip() or record.texts.contact.strip()
    parts = [publisher.name, publisher.address, publisher.country, contact]
    if not any(part.strip() for part in parts):
        return None
    named = (("name", publisher.name), ("contact", contact))
    missing = [f"The publisher's {what} is not stated." for what, text in named if not text.strip()]
    return Known(value=", ".join(part.strip() for part in parts if part.strip()), missing=tuple(missing))


def website(record: ReleaseRecord) -> Known | None:
    """Return the address of the publisher's site."""
    address = record.disclosure.publisher.website.strip()
    return Known(value=address) if address else None


def contact(record: ReleaseRecord) -> Known | None:
    """Return how a person reaches the publisher."""
    text = record.disclosure.publisher.contact.strip() or record.texts.contact.strip()
    return Known(value=text) if text else None


def representative(record: ReleaseRecord) -> Known | None:
    """Return that no representative is needed, where the publisher has its seat in the Union."""
    seat = country(record.disclosure.publisher.country)
    if not within(seat, ("EU",)):
        return None
    return Known(value=f"Not applicable: the publisher states a seat in the Union ({seat}).")


def model_name(record: ReleaseRecord) -> Known | None:
    """Return version and family."""
    return Known(value=f"{record.reference}, of the family {record.model}")


def authenticity(record: ReleaseRecord) -> Known | None:
    """Return the digests that tell this version from every other."""
    files = [f"{entry.path}: SHA-256 {entry.sha256}" for entry in record.manifest]
    digest = f"The digest of the manifest of its files is {record.subject}; model.sig is a signature over all files."
    return Known(value="\n".join([digest, *files[:50], *([f"and {len(files) - 50} files more"] * (len(files) > 50))]))


def dependencies(record: ReleaseRecord) -> Known | None:
    """Return the models that it descends from. That none is named does not say that there is none."""
    works = []
    for parent in record.parents:
        relation = str(parent.get("relation") or "relation not stated")
        if relation in ("train-data", "code", "eval-only"):
            continue
        digest = str(parent.get("digest") or "")
        works.append(f"{parent['ref']} ({relation}, {f'digest {digest}' if digest else 'not pinned by digest'})")
    return Known(value="\n".join(works)) if works else None


def architecture(record: ReleaseRecord) -> Known | None:
    """Return family, layers and vocabulary, as configuration and headers state them."""
    facts = record.architecture
    family = str(facts.get("family") or "")
    if family in ("", "unknown"):
        return None
    counts = [f"{number_text(n)} {what}" for what in ("layers", "vocabulary") if (n := _number(facts.get(what)))]
    words = ", ".join(counts).replace("vocabulary", "tokens in the vocabulary")
    return Known(value=f"{family}{': ' if words else ''}{words}")


def parameters(record: ReleaseRecord) -> Known | None:
    """Return the number of parameters, counted in the tensors, and the range of the form that it falls in."""
    count = _number(record.architecture.get("parameters"))
    if count is None or count <= 0:
        return None
    words = next((words for limit, words in _SIZE_RANGES if count <= limit), "more than 1 trillion")
    return Known(value=f"{number_text(count)} parameters, counted in the stored tensors (range: {words})")


def input_size(record: ReleaseRecord) -> Known | None:
    """Return the context length."""
    tokens = _number(record.architecture.get("context_length"))
    if tokens is None:
        return None
    return Known(value=f"Text: {number_text(tokens)} tokens, for input and output together (context length)")


def technical_means(record: ReleaseRecord) -> Known | None:
    """Return what the format is loaded with."""
    words = _FORMATS.get(record.format)
    return Known(value=words) if words else None


def hardware(record: ReleaseRecord) -> Known | None:
    """Return the memory that it takes: what the tensors fill, and the measured peak."""
    load, peak = _number(record.architecture.get("load_bytes")), find(record, "peak_memory")
    parts = [f"{size_text(load)} of memory hold its tensors"] if load else []
    parts += [f"the measured peak was {measurement_text(peak)}"] if peak else []
    if not parts:
        return None
    speed = find(record, "decode_speed")
    parts += [f"it wrote {measurement_text(speed)} on the machine that measured it"] if speed else []
    return Known(value="; ".join(parts))


def software(record: ReleaseRecord) -> Known | None:
    """Return the engines that made it and that it was measured with."""
    made = [str(step["engine"]) for step in record.recipe if step.get("engine")]
    weighed = [str(item.context["engine"]) for item in record.measurements if item.context.get("engine")]
    known = [("made with", made), ("measured with", weighed)]
    parts = [f"{how} {', '.join(dict.fromkeys(engines))}" for how, engines in known if engines]
    return Known(value="; ".join(parts)) if weighed else None


def licence(record: ReleaseRecord) -> Known | None:
    """Return the licence in force, and where its text is."""
    terms = recorded_terms(record)
    return Known(
        value=f"{terms.expression if terms else record.license}; the text is in the file LICENSE, notices are in NOTICE"
    )


def licence_kind(record: ReleaseRecord) -> Known | None:
    """Return whether the licence is free and open source; None where the terms do not tell.

    Raises:
        InputError: if the record's terms have another shape.
    """
    outcome, reason = free_licence(recorded_terms(record))
    if outcome == "unknown":
        return None
    return Known(value=f"Free and open source. {reason}" if outcome == "pass" else reason)


def assets(record: ReleaseRecord) -> Known | None:
    """Return what else is published with the model, each with its licence."""
    items = record.disclosure.components
    if not items:
        return None
    missing = [f"The licence of the component {item.kind!r} is not stated." for item in items if not item.license]
    lines = [f"{i.kind}: {i.path or i.url or 'place not stated'}, {i.license or 'licence not stated'}" for i in items]
    return Known(value="\n".join(lines), missing=tuple(missing))


def intended_use(record: ReleaseRecord) -> Known | None:
    """Return the publisher's own words."""
    text = record.texts.intended_use.strip()
    return Known(value=text) if text else None


def restrictions(record: ReleaseRecord) -> Known | None:
    """Return the fields of use that the licences in force forbid; None where the terms are not known.

    Raises:
        InputError: if the record's terms have another shape.
    """
    terms = recorded_terms(record)
    if terms is None:
        return None
    open_ = [item for item in terms.unknowns if item.rule in _UNCLEAR]
    if open_ and not terms.fields:
        return None
    limits = dict.fromkeys(f"{item.fact.text} ({item.licence}, {item.fact.clause.section})" for item in terms.fields)
    if not limits:
        return Known(value=f"The licences in force ({terms.expression}) forbid no field of use.")
    return Known(value="\n".join(limits), missing=tuple(item.message for item in open_))


def languages(record: ReleaseRecord) -> Known | None:
    """Return the languages that the publisher states."""
    return Known(value=", ".join(record.texts.languages)) if record.texts.languages else None


def training_flop(record: ReleaseRecord) -> float | None:
    """Return the floating-point operations of the whole training, as stated; None where no number is."""
    return flop_number(statement(record, "training.compute_flop"))


def flop_number(text: str) -> float | None:
    """Return the number in `2.4e23`, `2.4 × 10^23 FLOP`, `10²³` or plain digits; None if there is not exactly one."""
    found = [(match["mantissa"].replace(",", "."), match["exponent"]) for match in _FLOP.finditer(text)]
    found = found or [("1", match["exponent"]) for match in _POWER.finditer(text)]
    found = found or [(digits, "0") for digits in _PLAIN.findall(text)]
    if len(found) != 1:
        return None
    mantissa, exponent = found[0]
    # Through text: 1 * 10.0 ** 23 is a little more than 1e23, and the thresholds are such numbers.
    return float(f"{mantissa}e{min(int(exponent.translate(_RAISED)), 300)}")
