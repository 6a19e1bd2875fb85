"""The uplink before a second stranger: Kamailio as registrar."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.peers.kamailio import Kamailio
from tests.peers.platform import DEVICE_ID, DOMAIN, PASSWORD
from tests.support.box import wait_for
from tests.support.uplink_box import BoxPlatform, UplinkBox

pytestmark = pytest.mark.integration
IS_FULL = os.environ.get("XUELIANG_FAULTS") == "full"


@pytest.mark.parametrize("transport", ["udp", "tcp"] if IS_FULL else ["tcp"])
def test_registration_keepalive_loss_and_leaving(tmp_path: Path, transport: str) -> None:
    """Nonces with qop=auth of its own making; 423 raised to its least; a restart forgets us."""
    folder = tmp_path / "kamailio"
    first = Kamailio(folder=folder, domain=DOMAIN, password=PASSWORD)
    platform = BoxPlatform(
        server=f"127.0.0.1:{first.port}",
        transport=transport,
        keepalive_seconds=1,
        retry_seconds=1,
    )
    with first:
        with UplinkBox(folder=tmp_path / "box", platforms=[platform]) as box:
            box.wait_registered()
            first.wait_for(f"saved {DEVICE_ID}")
            first.wait_for(f"message of {DEVICE_ID}", 2)
            assert f"sip:{DEVICE_ID}@127.0.0.1:{platform.port}" in first.log
            first.stop()
            wait_for("offline", lambda: not box.platform()["registered"])
            with Kamailio(
                folder=folder, domain=DOMAIN, password=PASSWORD, port=first.port
            ) as second:
                box.wait_registered()
                second.wait_for(f"message of {DEVICE_ID}")
                assert box.stop() == 0
                second.wait_for("expires 0")


def test_a_wrong_password_is_told(tmp_path: Path) -> None:
    with Kamailio(folder=tmp_path / "kamailio", domain=DOMAIN, password="other") as kamailio:
        platform = BoxPlatform(server=f"127.0.0.1:{kamailio.port}")
        with UplinkBox(folder=tmp_path / "box", platforms=[platform]) as box:
            wait_for("trouble", lambda: "platform_trouble" in box.log)
            wait_for("told", lambda: box.platform()["trouble"].startswith("auth"))
            assert "compare password_file" in box.log
