"""What a platform says of the time reaches edge, whatever the host's clock does meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from retention.platform_time import read_platform_time
from retention.trusted_time import Reading
from uplink.ports import PlatformTime
from uplink.told_time import ToldTime

S = 1_000_000


@dataclass
class Clock:
    now_us: int = 1_795_478_400 * S

    def utc_us(self) -> int:
        return self.now_us

    def monotonic_us(self) -> int:
        return 7 * S


def told(platform: str, offset_us: int, uncertainty_us: int = 500_000) -> PlatformTime:
    return PlatformTime(
        platform=platform, offset_us=offset_us, uncertainty_us=uncertainty_us, at_utc_us=0
    )


def test_the_newest_statement_of_each_platform_and_of_these_the_median(tmp_path: Path) -> None:
    clock = Clock()
    raw_us = [100 * S]
    observer = ToldTime(tmp_path, "boot-1", clock, lambda: raw_us[0])
    observer.platform_time(told("a", 9 * S))
    raw_us[0] += 60 * S
    clock.now_us += 60 * S
    observer.platform_time(told("a", 2 * S))
    expected = Reading(utc_us=clock.now_us + 2 * S, raw_us=160 * S)
    assert read_platform_time(tmp_path, "boot-1", 161 * S) == expected
    observer.platform_time(told("b", 3 * S))
    observer.platform_time(told("c", -3600 * S))
    assert read_platform_time(tmp_path, "boot-1", 161 * S) == expected
    assert read_platform_time(tmp_path, "boot-2", 161 * S) is None


def test_a_statement_that_may_be_far_off_is_none(tmp_path: Path) -> None:
    observer = ToldTime(tmp_path, "boot-1", Clock(), lambda: 0)
    observer.platform_time(told("a", 0, uncertainty_us=6 * S))
    assert read_platform_time(tmp_path, "boot-1", 0) is None


def test_a_folder_that_cannot_be_written_costs_a_log_line(tmp_path: Path) -> None:
    (tmp_path / "uplink").touch()
    ToldTime(tmp_path, "boot-1", Clock(), lambda: 0).platform_time(told("a", 0))
