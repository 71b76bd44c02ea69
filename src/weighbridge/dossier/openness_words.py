"""How open a release is, in plain words: no markup."""

from weighbridge.terms.openness import KINDS, Openness
from weighbridge.terms.openness.component import component
from weighbridge.terms.openness.osaid import UNKNOWN, UNMET

MOF, OSAID, G7 = "Model Openness Framework", "Open Source AI Definition 1.0", "G7 label"


def mof_verdict(mof_class: str) -> str:
    """Return the class of the Model Openness Framework as people say it."""
    return f"class {mof_class}" if mof_class else "no class"


def osaid_verdict(openness: Openness) -> str:
    """Return `met`, `not met`, or `not known` where nothing is unmet but something was not looked at."""
    if openness.osaid_met:
        return "met"
    return "not met" if any(item.answer == UNMET for item in openness.osaid) else "not known"


def g7_verdict(label: str) -> str:
    """Return the G7 label, or that there is none."""
    return label or "none"


def verdict_rows(openness: Openness) -> list[tuple[str, str, str]]:
    """Return scheme, verdict and what is missing for more, each for what lies in the release."""
    return [
        (MOF, mof_verdict(openness.mof_class), _missing(openness)),
        (OSAID, osaid_verdict(openness), _first_unmet(openness)),
        (G7, g7_verdict(openness.g7_label), openness.g7.why),
    ]


def stated_sentence(openness: Openness) -> str:
    """Return what it would come to with all that is only said to be elsewhere; empty if nothing is."""
    if not openness.stated_elsewhere:
        return ""
    parts = ", ".join(dict.fromkeys(component_words(item.component) for item in openness.stated_elsewhere))
    return (
        f"As stated, and not checked: with what is said to lie elsewhere ({parts}) it would be "
        f"{mof_verdict(openness.mof_class_as_stated)} of the {MOF}, and its {G7} would be "
        f"{openness.g7_as_stated.label or 'none'}."
    )


def component_words(kind: str) -> str:
    """Return what a component, or a line of a checklist, is called in a sentence."""
    return component(kind).short if kind in KINDS else kind.replace("-", " ")


def _missing(openness: Openness) -> str:
    if not openness.mof_missing_next:
        return ""
    parts = ", ".join(component_words(item.component) for item in openness.mof_missing_next)
    return f"missing for class {openness.mof_next}: {parts}"


def _first_unmet(openness: Openness) -> str:
    for answer, words in ((UNMET, "first unmet"), (UNKNOWN, "first not known")):
        if item := next((item for item in openness.osaid if item.answer == answer), None):
            return f"{words}: {component_words(item.id)} ({item.why})"
    return ""
