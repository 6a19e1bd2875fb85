"""What can go wrong with the index.

IndexUnavailable: no answer; never to be read as "no recordings".
IndexCorrupt: the file is no index, or a damaged one; the volumes can rebuild it.
"""

from __future__ import annotations

from config.errors import Retry, XueliangError


class IndexUnavailable(XueliangError):
    """The index does not answer now."""

    code = "index_unavailable"

    def __init__(self, message: str, *, hint: str = "", retry: Retry = Retry.LATER) -> None:
        super().__init__(message, hint=hint, retry=retry)


class IndexCorrupt(IndexUnavailable):
    """The index is damaged, or was never one."""

    code = "index_corrupt"

    def __init__(self, message: str) -> None:
        super().__init__(
            message,
            hint="rebuild it from the volumes: xueliang reindex",
            retry=Retry.NEVER,
        )
