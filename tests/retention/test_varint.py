"""Variable-length integers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.varint import get_varint, put_varint, unzigzag, zigzag


@given(st.lists(st.integers(0, (1 << 70) - 1), max_size=5))
def test_integers_read_back_one_behind_the_other(values: list[int]) -> None:
    out = bytearray()
    for value in values:
        put_varint(out, value)
    position = 0
    for value in values:
        found, position = get_varint(bytes(out), position)
        assert found == value
    assert position == len(out)


@given(st.integers())
def test_zigzag_keeps_the_number_and_never_is_negative(value: int) -> None:
    assert zigzag(value) >= 0
    assert unzigzag(zigzag(value)) == value


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 10, b"\x80" * 11 + b"\x00"])
def test_cut_or_endless_integers_are_errors(data: bytes) -> None:
    with pytest.raises(ValueError, match="varint"):
        get_varint(data, 0)


def test_a_negative_number_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        put_varint(bytearray(), -1)
