"""The 20-digit national code of a device, camera or platform (GB/T 28181-2022, annex E).

Core.
"""

from __future__ import annotations

import re
from typing import Self

DIGITS = 20
_CODE = re.compile(r"[0-9]{20}", re.ASCII)


class GbId(str):
    """20 decimal digits; a ``str`` everywhere else. Build with :meth:`parse`."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """``text`` as a code.

        Raises:
            ValueError: not exactly 20 ASCII digits.
        """
        if not _CODE.fullmatch(text):
            shown = text if len(text) <= 40 else text[:40] + "…"
            raise ValueError(f"{shown!r} is no national code: it has exactly {DIGITS} digits")
        return cls(text)

    @property
    def centre(self) -> str:
        """Digits 1-8: province, city, county, grass-roots unit."""
        return self[:8]

    @property
    def industry(self) -> str:
        """Digits 9-10."""
        return self[8:10]

    @property
    def type_code(self) -> str:
        """Digits 11-13: 118 NVR, 131 or 132 camera, 200 platform."""
        return self[10:13]

    @property
    def network(self) -> str:
        """Digit 14."""
        return self[13]

    @property
    def serial(self) -> str:
        """Digits 15-20."""
        return self[14:]
