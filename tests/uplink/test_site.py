"""Which cameras a platform sees, and with what."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from config.load import parse
from config.schema import Settings
from uplink.manscdp.charset import Charset
from uplink.site import device_for

TEXT = """
[site]
name = "阳光托育中心"
longitude = 115.898
latitude = 28.685
[storage]
volumes = ["{dir}/a"]
state_dir = "{dir}/state"
[retention]
min_days = 92
[[camera]]
id = "gate"
name = "北门"
gb_id = "36010200001320000001"
onvif = "192.0.2.10:80"
[camera.archive]
address = "北门外"
civil_code = "36010201"
function_type = "01"
[[camera]]
id = "yard"
name = "操场"
gb_id = "36010200001320000002"
rtsp = "rtsp://192.0.2.11/"
[[camera]]
id = "nap-room"
name = "午睡室"
gb_id = "36010200001320000003"
rtsp = "rtsp://192.0.2.12/"
expose = false
[[camera]]
id = "old"
name = "旧"
gb_id = "36010200001320000004"
rtsp = "rtsp://192.0.2.13/"
enabled = false
[[platform]]
name = "district"
authorised_by = "x"
server = "192.0.2.200:5060"
server_id = "36010200002000000001"
domain = "3601020000"
device_id = "36010200001180000001"
password_file = "{dir}/password"
bind = "127.0.0.1"
edition = "2016"
peers = ["192.0.2.201"]
[[platform.directory]]
id = "36010200002160000001"
name = "全部"
cameras = ["gate", "nap-room"]
[[platform]]
name = "city"
authorised_by = "x"
server = "192.0.2.210:5060"
server_id = "36010000002000000001"
domain = "3601000000"
device_id = "36010200001180000002"
password_file = "{dir}/password"
bind = "127.0.0.1"
port = 5061
edition = "2022"
channels = ["yard"]
charset = "UTF-8"
allow = ["TeleBoot"]
upload_hosts = ["Pictures.example"]
record_item_minutes = 0
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "password").write_text("pass-word-1")
    os.chmod(tmp_path / "password", 0o600)
    return parse(TEXT.replace("{dir}", str(tmp_path)), file="x.toml")


def test_two_platforms_see_different_channels(settings: Settings) -> None:
    district, city = (device_for(settings, platform) for platform in settings.platform)
    assert [channel.camera for channel in district.channels] == ["gate", "yard"]
    assert [channel.camera for channel in city.channels] == ["yard"]
    assert (district.charset, city.charset) == (Charset.GB2312, Charset.UTF8)
    assert (district.edition, city.edition) == ("2016", "2022")
    assert district.record_days == 92
    assert (district.record_item_us, city.record_item_us) == (3600 * 10**6, 0)
    assert city.allow == {"TeleBoot"}
    assert city.snapshot_hosts == {"192.0.2.210", "pictures.example"}
    assert district.snapshot_hosts == {"192.0.2.200", "192.0.2.201"}
    assert (district.longitude, district.latitude) == (115.898, 28.685)


def test_what_a_camera_s_archive_says_and_what_stands_in_for_it(settings: Settings) -> None:
    gate, yard = device_for(settings, settings.platform[0]).channels
    assert (gate.civil_code, gate.address, gate.function_type) == ("36010201", "北门外", "01")
    assert (yard.civil_code, yard.address) == ("360102", "阳光托育中心")


def test_a_directory_does_not_betray_a_hidden_camera(settings: Settings) -> None:
    (directory,) = device_for(settings, settings.platform[0]).directories
    assert directory.cameras == ("gate",)
