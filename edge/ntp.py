"""How far the host's clock is off, as far as the NTP service of this host tells it. Shell.

chrony tells it (``chronyc tracking``, chronyc(1)); systemd-timesyncd does not: then the kernel's
word that the clock is disciplined (adjtimex(2)) counts as an offset of 0.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from retention.model import US_PER_S

TIMEOUT_S = 3.0
_OFFSET = re.compile(
    r"^System time\s*:\s*([0-9]{1,9}\.[0-9]{1,12}) seconds (slow|fast) of NTP time$",
    re.ASCII | re.MULTILINE,
)
_UNSYNCHRONISED = re.compile(r"^Leap status\s*:\s*Not synchronised$", re.MULTILINE)


def measured_offset_us() -> int | None:
    """NTP minus the host's clock, microseconds; None where nobody can tell. Blocks."""
    chronyc = shutil.which("chronyc")
    if chronyc is None:
        return None
    try:
        answer = subprocess.run(
            [chronyc, "-n", "tracking"],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_tracking(answer.stdout) if answer.returncode == 0 else None


def parse_tracking(text: str) -> int | None:
    """The offset in what ``chronyc tracking`` prints; None if it does not tell, or is not
    synchronised."""
    found = _OFFSET.search(text)
    if found is None or _UNSYNCHRONISED.search(text):
        return None
    offset_us = round(float(found[1]) * US_PER_S)
    return offset_us if found[2] == "slow" else -offset_us


_NTP_PORT = 123
_LOOPBACK_6 = "00000000000000000000000001000000"  # four words, each as this machine keeps it


def is_ntp_served(proc: Path = Path("/proc/net")) -> bool:
    """Whether something of this host takes NTP's packets from others (proc_net(5)): a socket of UDP
    port 123 that is bound to more than loopback."""
    for name in ("udp", "udp6"):
        try:
            lines = (proc / name).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            address, _, port = (line.split() + ["", ""])[1].partition(":")
            is_loopback = len(address) == 8 and address.endswith("7F")
            is_loopback = is_loopback or address == _LOOPBACK_6
            if port and int(port, 16) == _NTP_PORT and not is_loopback:
                return True
    return False
