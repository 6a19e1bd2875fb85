"""What a camera's connection tells the recorder. Core."""

from __future__ import annotations

from typing import Protocol

from retention.model import GapCause, MediaFormat, ReceivedUnit


class CameraEvents(Protocol):
    """What happens to one camera, called on the event loop; must not block and not raise.

    A session is connected, (format_changed, unit*)*, ended; an attempt that fails is ended alone.
    """

    def connected(self) -> None:
        """The camera plays; no picture has come yet."""
        ...

    def format_changed(self, media: MediaFormat) -> None:
        """What the units from here on are made of; precedes the first, which is a key frame."""
        ...

    def unit(self, unit: ReceivedUnit) -> None: ...

    def camera_time(self, offset_us: int) -> None:
        """The camera's clock minus the host's."""
        ...

    def lost(self, packets: int, pictures: int) -> None:
        """So many RTP packets never came, and so many pictures were thrown away for their size,
        since this was last said."""
        ...

    def ended(self, cause: GapCause, detail: str) -> None:
        """No more units of this session; the pool tries again by itself."""
        ...
