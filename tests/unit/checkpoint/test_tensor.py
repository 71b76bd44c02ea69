import pytest

from weighbridge.checkpoint.tensor import TensorEntry, quoted, unprintable


def a_tensor(shape: tuple[int, ...] = (2, 3), offset: int = 8, size_bytes: int = 24) -> TensorEntry:
    return TensorEntry(name="a", dtype="F32", shape=shape, file="m.safetensors", offset=offset, size_bytes=size_bytes)


@pytest.mark.parametrize(("shape", "parameters"), [((), 1), ((2, 3), 6), ((0, 5), 0)])
def test_parameters_are_the_product_of_the_shape(shape: tuple[int, ...], parameters: int) -> None:
    assert a_tensor(shape).parameters == parameters


def test_end_lies_behind_the_last_byte() -> None:
    assert a_tensor().end == 32


@pytest.mark.parametrize(("offset", "size"), [(-1, 4), (4, -1)])
def test_negative_places_are_refused(offset: int, size: int) -> None:
    with pytest.raises(ValueError, match="not a tensor entry"):
        a_tensor(offset=offset, size_bytes=size)


def test_quoted_escapes_and_cuts() -> None:
    assert quoted("a\x1b[31m") == r"'a\x1b[31m'"
    assert len(quoted("x" * 10_000)) < 130


@pytest.mark.parametrize("name", ["", "a\n", "\x7f", "\x85", "\ud800"])
def test_control_characters_are_unprintable(name: str) -> None:
    assert unprintable(name)


@pytest.mark.parametrize("name", ["a.weight", "名前", "a b"])
def test_ordinary_names_are_printable(name: str) -> None:
    assert not unprintable(name)
