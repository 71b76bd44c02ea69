"""A commented release plan for a given checkpoint, to begin with: it loads as it stands."""

import re
from fnmatch import fnmatchcase
from pathlib import Path

import yaml

from weighbridge.checkpoint.architecture import Architecture
from weighbridge.checkpoint.folder import Checkpoint
from weighbridge.terms.licence import Licence
from weighbridge.terms.registry import registry

_INTERNAL_FILES = (
    ("optimizer*", "optimizer state"),
    ("scheduler*", "training state"),
    ("rng_state*", "training state"),
    ("trainer_state.json", "training state"),
    ("training_args.bin", "training settings"),
    ("checkpoint-*/*", "intermediate checkpoint"),
    ("*.pt", "PyTorch state"),
    ("*.pth", "PyTorch state"),
    ("*.ckpt", "PyTorch state"),
    ("wandb/*", "run records"),
    ("runs/*", "run records"),
    ("*.log", "logs"),
    ("adapters/*", "internal adapter"),
    ("*train*.jsonl", "training data"),
    ("*.env", "environment"),
    (".git/*", "repository history"),
)
"""Files that look internal, and what the public may read that they are. Order matters: the first match names a file."""

_INTERNAL_TENSORS = (
    ("*reward_head*", "reward head"),
    ("*value_head*", "value head"),
    ("v_head.*", "value head"),
    ("*lora_*", "internal adapter"),
)

# Bits a parameter of llama.cpp's types, rounded; for the sizes in comments.
_BITS = {"Q8_0": 8.5, "Q6_K": 6.6, "Q5_K_M": 5.7, "Q4_K_M": 4.9, "Q3_K_M": 3.9}
_SMALL, _LARGE = 1e9, 15e9

_CARD_LICENSE = re.compile(r"^license:[ \t]*['\"]?([A-Za-z0-9.+-]{1,60})['\"]?[ \t]*$", re.MULTILINE)
_MAX_CARD_BYTES = 64 * 1024
# Not text to some readers of YAML.
_WORDS = ("null", "true", "false", "yes", "no", "on", "off", "y", "n")


def starter_plan(checkpoint: Checkpoint, architecture: Architecture, name: str, *, source: str | None = None) -> str:
    """Return a release plan in YAML, with a comment for each section.

    What looks internal among files and tensors is put under `hold_back`; quantisation types fit the size of the
    model. Nothing is filled in that only the publisher can know: such lines begin with "To do".

    Args:
        checkpoint: the internal model.
        architecture: what is known about it.
        name: `owner/name`, or only the name.
        source: path of the checkpoint as the plan should have it; by default its absolute path.
    """
    owner, _, short = name.rpartition("/")
    owner, short = _slug(owner, keep_case=True) or "your-organisation", _slug(short) or "model"
    where = source if source is not None else str(_location(checkpoint))
    sections = [
        _heading(architecture),
        f"model: {_quoted(f'{owner}/{short}')}\nsource: {_quoted(where)}   # the internal model",
        _licence(checkpoint, Path(where)),
        _card(short),
        _hold_back(checkpoint),
        _versions(checkpoint, architecture, short),
        _WEIGH,
        _GATES,
        "# Where to publish. Intermediate results are kept in `work`, so that a second run does only what changed.\n"
        "hub: hub\nwork: .weighbridge",
    ]
    return "\n\n".join(sections) + "\n"


_WEIGH = """\
# What is measured, on each version and on the internal model.
# To do: held-out text that the model was not trained on, one {"text": "..."} a line; some hundred documents.
weigh:
  - {likelihood: {data: eval/held-out.jsonl}}
  - {resources: {}}                   # size, peak memory, tokens per second"""

_GATES = """\
# The rules for each version. All must be met, with the whole interval; what was not measured refuses.
# Besides, an open release always needs the proof that what is held back is absent.
gates:
  open:
    - {measure: perplexity, versus: source, at_most_ratio: 1.10, confidence: 0.95}
    - {measure: top1_agreement, at_least: 0.80, confidence: 0.95}
    - {no_findings: medium}"""


def _heading(architecture: Architecture) -> str:
    context = f", context of {architecture.context_length:,} tokens" if architecture.context_length else ""
    family = re.sub(r"[^A-Za-z0-9._ -]", "?", architecture.family)[:60]
    return (
        f"# Release plan for a model of the family {family}: {architecture.parameters:,} parameters{context}.\n"
        '# Check it, fill in what says "To do", then:  weighbridge release THIS-FILE'
    )


def _licence(checkpoint: Checkpoint, source: Path) -> str:
    stated = _stated_licence(checkpoint)
    if stated and stated.text_file and not stated.needs_copyright:
        lines = [
            f"# To do: confirm the licence; {stated.id} is what the checkpoint's README.md says.",
            f"license: {stated.id}",
        ]
    else:
        there = next((file for file in ("LICENSE", "LICENSE.txt", "LICENSE.md") if file in checkpoint.files), None)
        text = str(source / there) if there else "LICENSE.txt"
        lines = [
            "# To do: choose the licence (an SPDX identifier) and supply its text.",
            "# `weighbridge licence show` lists the licences whose text ships.",
            f"license: {stated.id if stated else 'LicenseRef-proprietary'}",
            f"license_file: {_quoted(text)}",
        ]
    return "\n".join(
        [
            *lines,
            "# copyright: 2026 Your Organisation",
            "# To do: the works that the model descends from.",
            "# parents:",
            "#   - {ref: owner/base-model, relation: finetune, license: Apache-2.0}",
        ]
    )


def _card(short: str) -> str:
    return "\n".join(
        [
            "# Texts of the model card. To do: write them.",
            f"title: {_quoted(short)}",
            "# summary: What the model is, in a few sentences.",
            "# languages: [en]",
            "# intended_use: What it is meant for.",
            "# limitations: What it is bad at, and what it must not be used for.",
            "# contact: security@example.com",
        ]
    )


def _hold_back(checkpoint: Checkpoint) -> str:
    lines = [
        "# What stays private. Each version carries a proof that it is absent. Files that are neither weights,",
        "# configuration nor tokenizer stay behind in any case, unless `keep` names them. To do: add what is missing.",
        "hold_back:",
    ]
    files = [file for file in checkpoint.files if file not in checkpoint.weight_files]
    for kind, names, table in (
        ("tensors", [tensor.name for tensor in checkpoint.tensors], _INTERNAL_TENSORS),
        ("files", files, _INTERNAL_FILES),
    ):
        left = names
        for pattern, public_name in table:
            others = [name for name in left if not fnmatchcase(name, pattern)]
            if len(others) < len(left):
                lines.append(f"  - {{{kind}: {_quoted(pattern)}, as: {public_name}}}")
            left = others
    lines.append("  - {metadata: true}                  # paths, user names, run ids")
    return "\n".join(lines)


def _versions(checkpoint: Checkpoint, architecture: Architecture, short: str) -> str:
    types = ("Q8_0", "Q5_K_M", "Q4_K_M")
    if architecture.parameters < _SMALL:
        # A small model loses more by coarse types.
        types = ("Q8_0", "Q6_K", "Q4_K_M")
    elif architecture.parameters >= _LARGE:
        types = ("Q6_K", "Q4_K_M", "Q3_K_M")
    sizes = ", ".join(f"{type_} {_size(architecture.parameters * _BITS[type_] / 8)}" for type_ in types)
    lines = [
        "# The open versions. A list of types makes one version each, named <name>-<type>.",
        f"# About: bf16 {_size(architecture.parameters * 2)}, {sizes}.",
        "versions:",
    ]
    if checkpoint.format == "gguf":
        lines.insert(0, "# To do: versions are derived from safetensors; name the model that this GGUF was made from.")
    else:
        lines.append(f"  {_quoted(short)}: [{{cast: bf16}}]")
    lines.append(f"  {_quoted(f'{short}-gguf')}: [{{gguf: [{', '.join(types)}]}}]")
    return "\n".join(lines)


def _location(checkpoint: Checkpoint) -> Path:
    """Return what was opened: the folder, or the one file."""
    if len(checkpoint.weight_files) == 1 and checkpoint.files == checkpoint.weight_files:
        return checkpoint.root / checkpoint.weight_files[0]
    return checkpoint.root


def _stated_licence(checkpoint: Checkpoint) -> Licence | None:
    """Return the licence that the front matter of the checkpoint's card states, if this version knows it."""
    if "README.md" not in checkpoint.files:
        return None
    try:
        with (checkpoint.root / "README.md").open("rb") as file:
            text = file.read(_MAX_CARD_BYTES).decode("utf-8", "replace")
    except OSError:
        # The card is a courtesy here; whoever reads the checkpoint itself reports what cannot be read.
        return None
    _, _, rest = text.partition("---\n")
    stated = _CARD_LICENSE.search(rest.partition("\n---")[0]) if text.startswith("---\n") else None
    if stated is None:
        return None
    return registry().get(stated[1])


def _slug(text: str, *, keep_case: bool = False) -> str:
    """Return `text` as a name that a hub accepts, or an empty text."""
    plain = re.sub(r"[^A-Za-z0-9._]+", "-", text if keep_case else text.lower())
    return re.sub(r"([._-])[._-]+", r"\1", plain).strip("._-")[:64].rstrip("._-")


def _quoted(text: str) -> str:
    """Return `text` as YAML: bare where that reads the same, otherwise with every odd character escaped."""
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9._/-]*", text) and text.lower() not in _WORDS:
        return text
    return str(yaml.safe_dump(text, default_style='"', width=1 << 20)).strip()


def _size(size_bytes: float) -> str:
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.3g} {unit}"
    return f"{size_bytes / 1e3:.3g} kB"
