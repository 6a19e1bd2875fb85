"""A file system whose disk has died: its root is still in the kernel's memory, everything else
waits for ever. FUSE without a library (include/uapi/linux/fuse.h); needs root."""

from __future__ import annotations

import ctypes
import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

INIT, GETATTR = 26, 3
_IN_HEADER = struct.Struct("<IIQQIIIHH")
_OUT_HEADER = struct.Struct("<IiQ")
_ROOT = 1
_READ_BYTES = 1 << 17
_LIBC = ctypes.CDLL(None, use_errno=True)


@contextmanager
def silent_disk(root: Path) -> Iterator[None]:
    """Mounts it at ``root``; skips the test where that cannot be."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    root.mkdir(exist_ok=True)
    try:
        device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        pytest.skip("no /dev/fuse")
    options = f"fd={device},rootmode=40755,user_id=0,group_id=0".encode()
    if _LIBC.mount(b"silent", os.fsencode(root), b"fuse", 0, options):
        os.close(device)
        pytest.skip("no FUSE")
    threading.Thread(target=_serve, args=[device], daemon=True).start()
    try:
        yield
    finally:
        _LIBC.umount2(os.fsencode(root), 2)  # MNT_DETACH
        os.close(device)


def _serve(device: int) -> None:
    """Until the device is closed: the handshake and the root's attributes, and nothing else."""
    while True:
        try:
            request = os.read(device, _READ_BYTES)
        except OSError:
            return
        _, opcode, unique, node, *_ = _IN_HEADER.unpack_from(request)
        if opcode == INIT:
            body = struct.pack("<IIII", 7, 19, 0, 0) + struct.pack("<HHI", 1, 1, 4096)
        elif opcode == GETATTR and node == _ROOT:
            times = struct.pack("<QQQIII", 0, 0, 0, 0, 0, 0)
            attributes = struct.pack("<QQQ", _ROOT, 0, 0) + times
            attributes += struct.pack("<IIIIIII", 0o40755, 2, 0, 0, 0, 4096, 0)
            body = struct.pack("<QII", 3600, 0, 0) + attributes
        else:
            continue
        os.write(device, _OUT_HEADER.pack(_OUT_HEADER.size + len(body), 0, unique) + body)
