"""edge.demo.font: letters as masks."""

import string

from edge.demo import font


def test_every_letter_of_ids_and_clocks_has_its_own_shape() -> None:
    shapes = {letter: font.glyph(letter, 1).tobytes() for letter in string.digits + "ABCXYZ-_:.+"}
    assert len(set(shapes.values())) == len(shapes)


def test_small_letters_look_like_capitals_and_strange_ones_like_a_question_mark() -> None:
    assert font.glyph("a", 2) is not None
    assert (font.glyph("a", 2) == font.glyph("A", 2)).all()
    assert (font.glyph("门", 1) == font.glyph("?", 1)).all()


def test_a_line_is_as_wide_as_its_letters() -> None:
    assert font.text_mask("abc", 3).shape == (21, 54)
    assert font.text_mask("", 3).shape == (21, 0)
