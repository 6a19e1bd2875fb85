"""A folder as one ZIP, made while it is sent. Shell."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

from starlette.responses import Response, StreamingResponse

_PIECE_BYTES = 1 << 20


def zip_answer(folder: Path, prefix: str, name: str) -> Response:
    """To be kept as ``name``.zip; its files lie in a folder ``prefix``."""
    return StreamingResponse(
        (piece for piece in zip_of(folder, prefix) if piece),
        media_type="application/zip",
        headers={"Content-Disposition": f'attachment; filename="{name}.zip"'},
    )


def zip_of(folder: Path, prefix: str) -> Iterator[bytes]:
    """The files of a folder as a ZIP that is made while it is sent: stored, not compressed.

    Raises:
        OSError: a file is gone; what was sent so far is no whole ZIP.
    """
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(folder.iterdir()):
            info = zipfile.ZipInfo.from_file(path, f"{prefix}/{path.name}")
            info.external_attr = 0o100644 << 16
            with path.open("rb") as source, archive.open(info, "w", force_zip64=True) as target:
                while piece := source.read(_PIECE_BYTES):
                    target.write(piece)
                    yield sink.taken()
            yield sink.taken()
    yield sink.taken()


class _Sink:
    """Takes what a ZIP writes, until it is taken; cannot be sought."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes, /) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        pass  # whoever takes is the only one that waits

    def close(self) -> None:
        pass  # there is nothing to let go of

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)
