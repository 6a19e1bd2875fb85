"""What goes wrong with one camera, as a cause that the ledger can keep."""

from __future__ import annotations

from config.errors import Retry, XueliangError
from retention.model import GapCause


class CameraError(XueliangError):
    """A camera cannot be used now; ``cause`` is the gap's cause, ``detail`` its one sentence.

    Never holds an address with a password: whoever raises it writes the sentence himself.
    """

    code = "camera_error"

    def __init__(self, cause: GapCause, detail: str, *, hint: str = "") -> None:
        super().__init__(detail, hint=hint, retry=Retry.LATER)
        self.cause = cause
        self.detail = detail
