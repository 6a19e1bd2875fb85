"""What chronyc prints becomes an offset, or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.ntp import is_ntp_served, measured_offset_us, parse_tracking

#: As chronyc(1) prints it, "tracking".
TRACKING = """Reference ID    : CB00710F (ntp1.example.net)
Stratum         : 3
Ref time (UTC)  : Fri Jan 27 09:49:17 2017
System time     : 0.250006523 seconds slow of NTP time
Last offset     : -0.000006747 seconds
RMS offset      : 0.000035822 seconds
Frequency       : 3.225 ppm slow
Residual freq   : -0.000 ppm
Skew            : 0.129 ppm
Root delay      : 0.013639022 seconds
Root dispersion : 0.001100737 seconds
Update interval : 64.2 seconds
Leap status     : Normal
"""


@pytest.mark.parametrize(
    ("text", "offset_us"),
    [
        (TRACKING, 250_007),
        (TRACKING.replace("slow of", "fast of"), -250_007),
        (TRACKING.replace("Normal", "Not synchronised"), None),
        (TRACKING.replace("System time", "System"), None),
        (TRACKING.replace("0.250006523", "nan"), None),
        ("506 Cannot talk to daemon", None),
        ("", None),
    ],
)
def test_the_offset_is_ntp_minus_host(text: str, offset_us: int | None) -> None:
    assert parse_tracking(text) == offset_us


@given(st.text())
def test_no_text_raises(text: str) -> None:
    parse_tracking(text)


def test_a_chronyc_is_asked_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert measured_offset_us() is None
    program = tmp_path / "chronyc"
    program.write_text(f"#!/bin/sh\ncase \"$*\" in '-n tracking') printf '{TRACKING}';; esac\n")
    program.chmod(0o755)
    assert measured_offset_us() == 250_007
    program.write_text("#!/bin/sh\nexit 1\n")
    assert measured_offset_us() is None


HEAD = "  sl  local_address rem_address   st tx_queue rx_queue\n"


@pytest.mark.parametrize(
    ("udp", "is_served"),
    [
        ("", False),
        ("  1: 00000000:007B 00000000:0000 07\n", True),
        ("  1: 0A0200C0:007B 00000000:0000 07\n", True),
        ("  1: 0100007F:007B 00000000:0000 07\n", False),
        ("  1: 00000000:0143 00000000:0000 07\n", False),
        ("nonsense\n", False),
    ],
)
def test_whether_anything_here_serves_ntp(tmp_path: Path, udp: str, is_served: bool) -> None:
    (tmp_path / "udp").write_text(HEAD + udp)
    assert is_ntp_served(tmp_path) is is_served
    (tmp_path / "udp6").write_text(HEAD + f"  1: {'0' * 32}:007B {'0' * 32}:0000 07\n")
    assert is_ntp_served(tmp_path)
