"""Health of disks: what ``smartctl`` says, which disks are asked, and that none is waited for."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import smart
from edge.smart import SmartDesk, disks_of
from edge.smart_report import ATTRIBUTES, SmartReport, parse_smart, worst


def ata(rows: dict[int, int], temperature: Any = 38) -> bytes:
    """As smartmontools 7.3 puts it, shortened; made for this test."""
    return json.dumps(
        {
            "json_format_version": [1, 0],
            "smartctl": {"version": [7, 3], "exit_status": 0},
            "device": {"name": "/dev/sda", "type": "sat", "protocol": "ATA"},
            "ata_smart_attributes": {
                "revision": 10,
                "table": [
                    {
                        "id": number,
                        "name": f"Attribute_{number}",
                        "value": 100,
                        "worst": 100,
                        "thresh": 10,
                        "raw": {"value": value, "string": str(value)},
                    }
                    for number, value in rows.items()
                ],
            },
            "temperature": {"current": temperature},
        }
    ).encode()


def test_the_five_attributes_and_the_temperature_of_an_ata_disk() -> None:
    found = parse_smart(ata({1: 117, 5: 8, 9: 20_000, 187: 2, 188: 3, 197: 16, 198: 16, 194: 38}))
    assert found.attributes == {5: 8, 187: 2, 188: 3, 197: 16, 198: 16}
    assert found.temperature_c == 38


def test_time_outs_of_makers_who_pack_three_counts() -> None:
    assert parse_smart(ata({188: 0x0001_0001_0004})).attributes == {188: 4}


def test_an_nvme_disk_tells_its_media_errors() -> None:
    document = {
        "device": {"name": "/dev/nvme0", "type": "nvme"},
        "nvme_smart_health_information_log": {"media_errors": 5, "percentage_used": 3},
        "temperature": {"current": 41},
    }
    found = parse_smart(json.dumps(document).encode())
    assert found == SmartReport(attributes={187: 5}, temperature_c=41)


def test_what_an_nvme_disk_calls_a_failure() -> None:
    """As smartmontools 7.3 prints the log of a worn disk that takes no writes any more."""
    document = {
        "json_format_version": [1, 0],
        "smartctl": {"version": [7, 3], "exit_status": 8},
        "device": {"name": "/dev/nvme0", "type": "nvme", "protocol": "NVMe"},
        "smart_status": {"passed": False, "nvme": {"value": 9}},
        "nvme_smart_health_information_log": {
            "critical_warning": 9,
            "temperature": 52,
            "available_spare": 2,
            "available_spare_threshold": 10,
            "percentage_used": 104,
            "data_units_read": 28_039_687,
            "data_units_written": 921_665_680,
            "host_reads": 1,
            "host_writes": 1,
            "controller_busy_time": 839,
            "power_cycles": 40,
            "power_on_hours": 26_280,
            "unsafe_shutdowns": 12,
            "media_errors": 3,
            "num_err_log_entries": 40,
            "warning_temp_time": 0,
            "critical_comp_time": 0,
            "temperature_sensors": [52, 61],
        },
        "temperature": {"current": 52},
        "power_cycle_count": 40,
        "power_on_time": {"hours": 26_280},
    }
    found = parse_smart(json.dumps(document).encode())
    assert (found.attributes, found.temperature_c) == ({187: 3}, 52)
    assert found.failing == (
        "the disk says that it fails",
        "its spare is below the threshold",
        "it takes no writes any more",
        "104 % of its endurance is used",
    )
    log = document["nvme_smart_health_information_log"]
    assert isinstance(log, dict)
    log |= {"critical_warning": 2, "percentage_used": 99}  # hot: that is told as its temperature
    document["smart_status"] = {"passed": True}
    assert parse_smart(json.dumps(document).encode()).failing == ()


def test_what_an_ata_disk_calls_a_failure() -> None:
    """An attribute that was below its threshold once and recovered is none now."""
    document = json.loads(ata({5: 3_912, 9: 41_000, 194: 44}))
    rows = document["ata_smart_attributes"]["table"]
    flags = {"value": 51, "string": "PO--CK ", "prefailure": True, "updated_online": True}
    rows[0] |= {"value": 4, "worst": 4, "thresh": 36, "when_failed": "now", "flags": flags}
    rows[1] |= {"when_failed": ""}
    rows[2] |= {"value": 56, "worst": 44, "thresh": 45, "when_failed": "past"}
    document["smart_status"] = {"passed": False}
    found = parse_smart(json.dumps(document).encode())
    assert found.attributes == {5: 3_912}
    assert found.failing == ("the disk says that it fails", "attribute 5 is at its threshold")


def test_a_sas_disk_tells_defects_and_errors_that_stayed() -> None:
    def log(uncorrected: int) -> dict[str, Any]:
        return {
            "errors_corrected_by_eccfast": 817_241,
            "errors_corrected_by_eccdelayed": 14,
            "errors_corrected_by_rereads_rewrites": 0,
            "total_errors_corrected": 817_255,
            "correction_algorithm_invocations": 0,
            "gigabytes_processed": "71204.883",
            "total_uncorrected_errors": uncorrected,
        }

    document = {
        "device": {"name": "/dev/sdb", "type": "scsi", "protocol": "SCSI"},
        "smart_status": {"passed": True},
        "temperature": {"current": 33, "drive_trip": 65},
        "power_on_time": {"hours": 30_000, "minutes": 12},
        "scsi_start_stop_cycle_counter": {"accumulated_start_stop_cycles": 61},
        "scsi_grown_defect_list": 12,
        "scsi_error_counter_log": {"read": log(2), "write": log(0), "verify": log(1)},
    }
    found = parse_smart(json.dumps(document).encode())
    assert found == SmartReport(attributes={5: 12, 187: 3}, temperature_c=33)
    del document["scsi_error_counter_log"]  # as -A alone has it
    assert parse_smart(json.dumps(document).encode()).attributes == {5: 12}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        json.dumps({"smartctl": {"exit_status": 2, "messages": [{"string": "No such device"}]}}),
        ata({5: -1, 197: True}, "hot"),
        ata({}, 4000),
        json.dumps({"ata_smart_attributes": {"table": [5, {"id": 5}, {"id": 5, "raw": None}]}}),
    ],
)
def test_what_says_nothing_sensible_tells_nothing(text: str | bytes) -> None:
    assert parse_smart(text.encode() if isinstance(text, str) else text) == SmartReport()


_NAMES = [
    "ata_smart_attributes",
    "table",
    "id",
    "raw",
    "value",
    "temperature",
    "when_failed",
    "smart_status",
    "nvme_smart_health_information_log",
    "critical_warning",
    "percentage_used",
    "media_errors",
    "scsi_grown_defect_list",
    "scsi_error_counter_log",
    "read",
]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(_NAMES),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(_JSON)
def test_no_document_is_too_strange(document: Any) -> None:
    found = parse_smart(json.dumps(document).encode())
    assert set(found.attributes) <= set(ATTRIBUTES)
    assert all(value >= 0 for value in found.attributes.values())


def test_the_worst_of_several_disks_counts() -> None:
    reports = [
        SmartReport(attributes={5: 1, 197: 0}, temperature_c=30),
        SmartReport(attributes={5: 0, 198: 2}, temperature_c=45),
        SmartReport(),
    ]
    assert worst(reports) == SmartReport(attributes={5: 1, 197: 0, 198: 2}, temperature_c=45)
    assert worst([]) == SmartReport()
    failing = [SmartReport(failing=("a",)), SmartReport(), SmartReport(failing=("b",))]
    assert worst(failing).failing == ("a", "b")


def block(
    sys: Path, name: str, number: str, *, parent: str = "", slaves: tuple[str, ...] = ()
) -> int:
    """A block device as sysfs shows it."""
    folder = sys / "devices" / parent / name
    (folder / "slaves").mkdir(parents=True)
    if parent:
        (folder / "partition").write_text("1\n")
    for slave in slaves:
        target = next((sys / "devices").rglob(slave))
        (folder / "slaves" / slave).symlink_to(target)
    (sys / number).symlink_to(folder)
    major, minor = number.split(":")
    return os.makedev(int(major), int(minor))


def test_the_disks_below_a_file_system(tmp_path: Path) -> None:
    disk = block(tmp_path, "sda", "8:0")
    partition = block(tmp_path, "sda1", "8:1", parent="sda")
    block(tmp_path, "sdb", "8:16")
    raid = block(tmp_path, "md0", "9:0", slaves=("sda1", "sdb"))
    crypt = block(tmp_path, "dm-0", "253:0", slaves=("md0",))
    assert disks_of(disk, tmp_path) == ["sda"]
    assert disks_of(partition, tmp_path) == ["sda"]
    assert disks_of(raid, tmp_path) == ["sda", "sdb"]
    assert disks_of(crypt, tmp_path) == ["sda", "sdb"]
    assert disks_of(os.makedev(0, 42), tmp_path) == []  # tmpfs, NFS


def install(folder: Path, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / "smartctl"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_smartctl_is_asked_without_waking_a_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "answer").write_bytes(ata({5: 7}))
    install(tmp_path, f'echo "$@" > {tmp_path}/asked; cat {tmp_path}/answer', monkeypatch)
    device = block(tmp_path, "sda", "8:0")
    found = asyncio.run(SmartDesk(sys=tmp_path).report(device))
    assert found == SmartReport(attributes={5: 7}, temperature_c=38)
    assert (tmp_path / "asked").read_text().split() == [
        "--json",
        "-H",
        "-A",
        "-l",
        "error",
        "-n",
        "standby",
        "/dev/sda",
    ]
    units = Path(__file__).parents[2] / "distribution/programs/smart"
    assert f"smartctl {' '.join(smart.QUESTION)} " in units.read_text()


def test_a_disk_that_does_not_answer_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smart, "ASK_TIMEOUT_S", 0.2)
    install(tmp_path, "exec sleep 60", monkeypatch)
    device = block(tmp_path, "sda", "8:0")
    assert asyncio.run(SmartDesk(sys=tmp_path).report(device)) == SmartReport()


def test_without_smartctl_there_is_nothing_to_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    assert asyncio.run(SmartDesk(sys=tmp_path).report(os.makedev(8, 0))) == SmartReport()


def test_what_roots_unit_left_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed edge may not ask a disk itself; an old answer is none."""
    left = tmp_path / "left"
    left.mkdir()
    (left / "sda.json").write_bytes(ata({5: 7}))
    monkeypatch.setattr(smart, "disks_of", lambda *_: ["sda"])
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    told = asyncio.run(SmartDesk(left=left).report(1))
    assert told == parse_smart(ata({5: 7}))
    assert told != SmartReport()
    os.utime(left / "sda.json", (1, 1))
    assert asyncio.run(SmartDesk(left=left).report(1)) == SmartReport()
