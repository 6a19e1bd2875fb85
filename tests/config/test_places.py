from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from config.places import key_lines, line_of

TEXT = '''# a comment = 1
[site]
name = "[not] a = table # nor comment"   # comment
[storage]
volumes = [
  "/a",  # ] "
  "/b",
]
"state_dir" = """
x = 1
[y]
"""
retention.min_days = 90

[[camera]]
id = "one"
[camera.archive]
address = { a = 1, b = [2,
  3] }
[[ camera ]]
id = 'two'
[camera . "archive"]
address = "x"
'''


def test_each_key_has_its_line() -> None:
    lines = key_lines(TEXT)
    assert lines == {
        ("site",): 2,
        ("site", "name"): 3,
        ("storage",): 4,
        ("storage", "volumes"): 5,
        ("storage", "state_dir"): 9,
        ("storage", "retention"): 13,
        ("storage", "retention", "min_days"): 13,
        ("camera", 0): 15,
        ("camera", 0, "id"): 16,
        ("camera", 0, "archive"): 17,
        ("camera", 0, "archive", "address"): 18,
        ("camera", 1): 20,
        ("camera", 1, "id"): 21,
        ("camera", 1, "archive"): 22,
        ("camera", 1, "archive", "address"): 23,
    }


def test_what_has_no_line_takes_that_of_what_is_around_it() -> None:
    lines = key_lines(TEXT)
    assert line_of(("camera", 1, "gb_id"), lines) == 20
    assert line_of(("storage", "volumes", 1), lines) == 5
    assert line_of(("console", "bind"), lines) == 0
    assert line_of((), lines) == 0


@given(st.text(alphabet=st.sampled_from("[]{}\"'\\\n=.#a 1,"), max_size=60) | st.text(max_size=60))
def test_any_text_is_scanned_without_error(text: str) -> None:
    for line in key_lines(text).values():
        assert 1 <= line <= text.count("\n") + 1


VALUES = st.one_of(
    st.integers().map(str),
    st.text(alphabet=st.sampled_from("a[]=#'{ .\n"), max_size=12).map(lambda t: f'"""{t}"""'),
    st.lists(st.integers(), max_size=3).map(
        lambda items: "[\n" + ",\n".join(map(str, items)) + "]"
    ),
)


@given(st.lists(VALUES, min_size=1, max_size=8))
def test_lines_are_right_behind_values_of_any_shape(values: list[str]) -> None:
    text = ""
    expected = {}
    for number, value in enumerate(values):
        expected[(f"k{number}",)] = text.count("\n") + 1
        text += f"k{number} = {value}\n"
    assert key_lines(text) == expected
