"""Which GGUF file of a repository is meant by the name of a quantisation."""

import pytest

from weighbridge.hub.repositories.gguf_routes import choose

_PATHS = (
    "m-Q8_0.gguf",
    "m-IQ4_XS.gguf",
    "m-q4_k_m.gguf",
    "mmproj-m-F16.gguf",
    "m.imatrix.gguf",
    "big/m-BF16-00002-of-00002.gguf",
    "big/m-BF16-00001-of-00002.gguf",
)


@pytest.mark.parametrize(
    ("quantisation", "path"),
    [
        ("latest", "m-q4_k_m.gguf"),
        ("Q4_K_M", "m-q4_k_m.gguf"),
        ("q8_0", "m-Q8_0.gguf"),
        ("BF16", "big/m-BF16-00001-of-00002.gguf"),
        ("4_XS", None),
        ("F16", None),
        (".*", None),
    ],
)
def test_a_quantisation_means_the_file_that_ends_in_it(quantisation: str, path: str | None) -> None:
    assert choose(_PATHS, quantisation) == path


def test_without_a_name_any_model_will_do_but_nothing_that_is_none() -> None:
    assert choose(("mmproj-F16.gguf", "other.gguf"), "latest") == "other.gguf"
    assert choose(("mmproj-F16.gguf",), "latest") is None
