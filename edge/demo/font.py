"""A bitmap font of 5 by 7 points for what the demo cameras burn into their pictures. Core."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

WIDTH = 5
HEIGHT = 7
#: Columns from one letter to the next.
ADVANCE = 6

# Seven rows for each letter, five bits each, the left column in the highest bit.
_ROWS = {
    " ": "00000000000000",
    "0": "0e11131519110e",
    "1": "040c040404040e",
    "2": "0e11010204081f",
    "3": "1f02040201110e",
    "4": "02060a121f0202",
    "5": "1f101e0101110e",
    "6": "0608101e11110e",
    "7": "1f010204080808",
    "8": "0e11110e11110e",
    "9": "0e11110f01020c",
    "A": "0e11111f111111",
    "B": "1e11111e11111e",
    "C": "0e11101010110e",
    "D": "1c12111111121c",
    "E": "1f10101e10101f",
    "F": "1f10101e101010",
    "G": "0e11101711110f",
    "H": "1111111f111111",
    "I": "0e04040404040e",
    "J": "0702020202120c",
    "K": "11121418141211",
    "L": "1010101010101f",
    "M": "111b1515111111",
    "N": "11111915131111",
    "O": "0e11111111110e",
    "P": "1e11111e101010",
    "Q": "0e11111115120d",
    "R": "1e11111e141211",
    "S": "0f10100e01011e",
    "T": "1f040404040404",
    "U": "1111111111110e",
    "V": "11111111110a04",
    "W": "1111111515150a",
    "X": "11110a040a1111",
    "Y": "1111110a040404",
    "Z": "1f01020408101f",
    "-": "0000001f000000",
    "_": "0000000000001f",
    ":": "000c0c000c0c00",
    ".": "00000000000c0c",
    "/": "00010204081000",
    "+": "0004041f040400",
    "#": "0a0a1f0a1f0a0a",
    "?": "0e110102040004",
}


@lru_cache(maxsize=512)
def glyph(letter: str, scale: int) -> npt.NDArray[np.bool_]:
    """The letter as a mask of ``7*scale`` by ``6*scale`` points; unknown letters look like "?"."""
    rows = bytes.fromhex(_ROWS.get(letter.upper(), _ROWS["?"]))
    small = np.array(
        [[bool(row >> (4 - column) & 1) for column in range(WIDTH)] + [False] for row in rows]
    )
    return np.kron(small, np.ones((scale, scale), dtype=np.bool_)).astype(np.bool_)


def text_mask(text: str, scale: int) -> npt.NDArray[np.bool_]:
    """One line of text as a mask, ``7*scale`` points high."""
    if not text:
        return np.zeros((HEIGHT * scale, 0), dtype=np.bool_)
    return np.concatenate([glyph(letter, scale) for letter in text], axis=1)
