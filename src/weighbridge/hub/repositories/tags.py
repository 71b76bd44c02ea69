"""What a repository is found by: tags, pipeline and library, from its card and the files in its root.

Forms as the Hub's: `license:mit`, `base_model:owner/name` and `base_model:quantized:owner/name`, `dataset:name`, bare
language codes for models and `language:en` for datasets (huggingface_hub's `list_datasets` asks for these).
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

MAX_TAGS: Final = 500
MAX_TAG_CHARACTERS: Final = 200
_MAX_ARXIV = 20
_MAX_BODY_CHARACTERS = 512 * 1024

_ARXIV = re.compile(r"arxiv\.org/(?:abs|pdf)/(\d{4}\.\d{4,5})")
_PREFIXED_OF_DATASETS = (
    "task_categories",
    "task_ids",
    "annotations_creators",
    "language_creators",
    "language",
    "multilinguality",
    "size_categories",
    "source_datasets",
)
# By the end of a file's name in the root.
_FORMATS = {".safetensors": "safetensors", ".gguf": "gguf", ".onnx": "onnx", ".tflite": "tf-lite"}
_LIBRARY_FILES = {
    "model_index.json": "diffusers",
    "modules.json": "sentence-transformers",
    "adapter_config.json": "peft",
}
# By the end of a class of Transformers, as `config.json` names it.
_PIPELINES = {
    "ForCausalLM": "text-generation",
    "LMHeadModel": "text-generation",
    "ForMaskedLM": "fill-mask",
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForImageClassification": "image-classification",
    "ForObjectDetection": "object-detection",
    "ForAudioClassification": "audio-classification",
    "ForSpeechSeq2Seq": "automatic-speech-recognition",
    "ForCTC": "automatic-speech-recognition",
}


def words(value: object) -> tuple[str, ...]:
    """Return a text, or the texts of a list, each short enough for a tag; nothing for anything else."""
    listed = value if isinstance(value, list) else [value]
    texts = (str(item).strip() for item in listed if isinstance(item, str | int) and not isinstance(item, bool))
    return tuple(text for text in texts if 0 < len(text) <= MAX_TAG_CHARACTERS - 40)


def library_of(card: Mapping[str, Any], names: Iterable[str], config: Mapping[str, Any]) -> str | None:
    """Return the library that a model is for: what its card says, else what its files tell."""
    if said := words(card.get("library_name")):
        return said[0][:96]
    names = set(names)
    for name, library in _LIBRARY_FILES.items():
        if name in names:
            return library
    if config.get("architectures") or config.get("model_type"):
        return "transformers"
    return "gguf" if any(name.endswith(".gguf") for name in names) else None


def pipeline_of(card: Mapping[str, Any], config: Mapping[str, Any]) -> str | None:
    """Return a model's task: what its card says, else what the class that `config.json` names is for."""
    if said := words(card.get("pipeline_tag")):
        return said[0][:96]
    for architecture in words(config.get("architectures")):
        for ending, pipeline in _PIPELINES.items():
            if architecture.endswith(ending):
                return pipeline
    return None


def tags_of(kind: str, card: Mapping[str, Any], body: str, names: Iterable[str], facts: Mapping[str, Any]) -> list[str]:
    """Return a repository's tags, each once.

    Args:
        kind: of the repository.
        card: the front matter.
        body: the README's text.
        names: of the files in the root.
        facts: `library`, `pipeline` and `model_type`, where they are known.
    """
    found: list[str] = []
    if kind == "model":
        found += _of_model(card, set(names), facts)
    elif kind == "dataset":
        for field in _PREFIXED_OF_DATASETS:
            found += (f"{field}:{word}" for word in words(card.get(field)))
    else:
        found += words(card.get("sdk"))
        found += (f"model:{word}" for word in words(card.get("models")))
        found += (f"dataset:{word}" for word in words(card.get("datasets")))
    found += words(card.get("tags"))
    found += (f"license:{word.lower()}" for word in words(card.get("license")))
    found += (f"arxiv:{number}" for number in dict.fromkeys(_ARXIV.findall(body[:_MAX_BODY_CHARACTERS])[:_MAX_ARXIV]))
    return [tag for tag in dict.fromkeys(found) if len(tag) <= MAX_TAG_CHARACTERS][:MAX_TAGS]


def _of_model(card: Mapping[str, Any], names: set[str], facts: Mapping[str, Any]) -> list[str]:
    found = [facts[name] for name in ("library",) if facts.get(name)]
    found += (tag for ending, tag in _FORMATS.items() if any(name.endswith(ending) for name in names))
    if any(name.startswith("pytorch_model") for name in names):
        found.append("pytorch")
    found += (facts[name] for name in ("model_type", "pipeline") if facts.get(name))
    found += words(card.get("language"))
    found += (f"dataset:{word}" for word in words(card.get("datasets")))
    relation = _relation(card, names, facts)
    for base in words(card.get("base_model")):
        found += (f"base_model:{base}", f"base_model:{relation}:{base}")
    return found


def _relation(card: Mapping[str, Any], names: set[str], facts: Mapping[str, Any]) -> str:
    said = card.get("base_model_relation")
    if said in ("adapter", "merge", "quantized", "finetune"):
        return str(said)
    if facts.get("library") == "peft":
        return "adapter"
    if len(words(card.get("base_model"))) > 1:
        return "merge"
    return "quantized" if any(name.endswith(".gguf") for name in names) else "finetune"
