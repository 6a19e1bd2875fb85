from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.gbid import GbId


def test_parts_of_a_code() -> None:
    code = GbId.parse("36010200001320000001")
    assert code == "36010200001320000001"
    assert (code.centre, code.industry, code.type_code) == ("36010200", "00", "132")
    assert (code.network, code.serial) == ("0", "000001")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3601020000132000000",
        "360102000013200000012",
        "3601020000132000000x",
        "３６０１０２００００１３２０００００１0",
    ],
)
def test_anything_but_20_ascii_digits_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="exactly 20 digits"):
        GbId.parse(text)


@given(st.text(max_size=40))
def test_fuzz(text: str) -> None:
    try:
        assert len(GbId.parse(text)) == 20
    except ValueError:
        pass
