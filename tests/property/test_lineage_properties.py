"""Properties of the permutation test and of alignments."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.evidence.audit.lineage.permutation import Units, align, compare_units, fisher, log_normal_tail
from weighbridge.evidence.audit.lineage.role import role_of


@given(st.integers(0, 2**32 - 1), st.integers(16, 40), st.integers(2, 12))
@settings(deadline=None, max_examples=40)
def test_renumbering_both_models_alike_and_scaling_units_changes_nothing(seed: int, count: int, width: int) -> None:
    generator = np.random.default_rng(seed)
    a, b = (generator.standard_normal((count, width), dtype=np.float32) for _ in range(2))
    order = generator.permutation(count)
    scale = generator.uniform(0.1, 10, (count, 1)).astype(np.float32)
    plain = compare_units(Units.of("a", 0, [a]), Units.of("b", 0, [b]))
    moved = compare_units(Units.of("a", 0, [(a * scale)[order]]), Units.of("b", 0, [b[order]]))
    swapped = compare_units(Units.of("b", 0, [b]), Units.of("a", 0, [a]))
    assert moved.z == pytest.approx(plain.z, abs=1e-3)
    assert swapped.z == pytest.approx(plain.z, abs=1e-3)


@given(st.lists(st.floats(-50, 0), min_size=1, max_size=40))
def test_fishers_method_gives_a_logarithm_of_a_probability_that_falls_with_each_of_them(log_ps: list[float]) -> None:
    together = fisher(log_ps)
    assert together <= 0
    assert fisher([log_ps[0] - 1, *log_ps[1:]]) <= together + 1e-9


@given(st.floats(-30, 1000), st.floats(1e-3, 10))
def test_the_tail_falls_with_z(z: float, step: float) -> None:
    assert log_normal_tail(z + step) <= log_normal_tail(z)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 10_000))
def test_an_alignment_is_in_order_and_complete(left: int, right: int, seed: int) -> None:
    pairs = align(np.random.default_rng(seed).standard_normal((left, right)))
    assert len(pairs) == min(left, right)
    for side in (0, 1):
        numbers = [pair[side] for pair in pairs]
        assert numbers == sorted(set(numbers))


@given(st.text(max_size=200))
def test_any_name_has_a_role(name: str) -> None:
    role_of(name)  # whatever stands in a file is a name, and none is an error
