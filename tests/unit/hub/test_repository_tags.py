"""How the tags, the library and the pipeline of a repository follow from its card and its files."""

from weighbridge.hub.repositories.tags import MAX_TAGS, library_of, pipeline_of, tags_of, words


def test_a_card_outranks_what_files_tell() -> None:
    config = {"architectures": ["BertForMaskedLM"], "model_type": "bert"}
    assert library_of({"library_name": "mlx"}, ["config.json"], config) == "mlx"
    assert library_of({}, ["config.json"], config) == "transformers"
    assert library_of({}, ["model_index.json"], {}) == "diffusers"
    assert library_of({}, ["a.gguf"], {}) == "gguf"
    assert library_of({}, ["a.txt"], {}) is None
    assert pipeline_of({"pipeline_tag": "translation"}, config) == "translation"
    assert pipeline_of({}, config) == "fill-mask"
    assert pipeline_of({}, {"architectures": ["Odd"]}) is None


def test_the_relation_to_a_base_model_is_told_or_follows_from_files() -> None:
    def relation(card: dict[str, object], names: list[str], library: str | None = None) -> str:
        tags = tags_of("model", {"base_model": "a/b", **card}, "", names, {"library": library})
        return next(tag for tag in tags if tag.startswith("base_model:") and tag.count(":") == 2).split(":")[1]

    assert relation({}, []) == "finetune"
    assert relation({}, ["x.gguf"]) == "quantized"
    assert relation({}, [], "peft") == "adapter"
    assert relation({"base_model": ["a/b", "c/d"]}, []) == "merge"
    assert relation({"base_model_relation": "merge"}, ["x.gguf"]) == "merge"
    assert relation({"base_model_relation": "bogus:x"}, []) == "finetune"


def test_papers_are_found_in_the_text_once_each() -> None:
    body = "https://arxiv.org/abs/2401.00001 and https://arxiv.org/pdf/2401.00001 and https://arxiv.org/abs/2402.12345"
    assert tags_of("dataset", {}, body, [], {}) == ["arxiv:2401.00001", "arxiv:2402.12345"]


def test_datasets_and_models_name_languages_in_their_own_way() -> None:
    assert tags_of("dataset", {"language": ["en"]}, "", [], {}) == ["language:en"]
    assert tags_of("model", {"language": "en", "license": "MIT"}, "", [], {}) == ["en", "license:mit"]


def test_nonsense_and_excess_are_left_out() -> None:
    assert words([1, True, None, {"a": 1}, "", " x ", "y" * 500]) == ("1", "x")
    assert words({"a": 1}) == ()
    assert len(tags_of("model", {"tags": [f"t{n}" for n in range(5000)]}, "", [], {})) == MAX_TAGS
