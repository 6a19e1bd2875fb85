"""The report between the services: it comes through, and junk in it is left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edge.diagnose.defects import Defect, Failure, Outcome
from edge.diagnose.gating import Gate
from edge.diagnose.report import FAILING, CameraReport, Report, dump, parse
from edge.diagnose.report_file import FOLDER, NAME, read_report, write_report

GATES = st.builds(
    Gate,
    recent=st.lists(st.booleans(), min_size=1, max_size=5).map(tuple),
    is_standing=st.booleans(),
)
CAMERAS = st.builds(
    CameraReport,
    at_us=st.integers(0, 1 << 50),
    footage_us=st.integers(0, 1 << 50),
    outcome=st.sampled_from(Outcome),
    failure=st.sampled_from(Failure),
    found=st.lists(st.sampled_from(Defect), unique=True).map(tuple),
    unknown=st.lists(st.sampled_from(Defect), unique=True).map(tuple),
    light=st.sampled_from(["", "day", "night"]),
    learnt=st.integers(0, 288),
    cpu_seconds=st.integers(0, 10_000).map(lambda n: n / 1000),
    checks=st.fixed_dictionaries({one: st.integers(0, 10**9) for one in Outcome}),
    gates=st.dictionaries(st.sampled_from([*(d.value for d in Defect), FAILING]), GATES),
)
REPORTS = st.builds(
    Report,
    at_us=st.integers(0, 1 << 50),
    cpu_seconds=st.integers(0, 10_000).map(lambda n: n / 1000),
    cameras=st.dictionaries(st.from_regex(r"[a-z0-9-]{1,9}", fullmatch=True), CAMERAS, max_size=4),
)


@given(REPORTS)
def test_what_is_told_is_read(report: Report) -> None:
    assert parse(dump(report)) == report


_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)


@given(REPORTS, st.data())
def test_a_camera_that_cannot_be_read_is_left_out_alone(
    report: Report, data: st.DataObject
) -> None:
    document = json.loads(dump(report))
    spoilt = [name for name in document["cameras"] if data.draw(st.booleans())]
    for name in spoilt:
        key = data.draw(st.sampled_from(["at_us", "outcome", "checks", "found", "learnt", "gates"]))
        document["cameras"][name][key] = data.draw(st.sampled_from([None, -1, "x", ["x"], 1e400]))
    found = parse(json.dumps(document).encode())
    assert found is not None
    assert set(found.cameras) == set(report.cameras) - set(spoilt)


@given(st.binary(max_size=60) | _JUNK.map(lambda one: json.dumps(one).encode()))
def test_junk_is_no_report(content: bytes) -> None:
    assert parse(content) is None


def test_the_file_holds_words_and_numbers_only(tmp_path: Path) -> None:
    """No picture, no text of a camera: keys and words are those of the program."""
    camera = CameraReport(
        at_us=1,
        found=(Defect.COVERED,),
        gates={Defect.COVERED: Gate(recent=(True,) * 3, is_standing=True)},
    )
    write_report(tmp_path, Report(at_us=2, cameras={"gate": camera}))
    path = tmp_path / FOLDER / NAME
    assert path.stat().st_mode & 0o777 == 0o640
    assert [one.name for one in path.parent.iterdir()] == [NAME]

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            for one in value.values():
                walk(one)
        elif isinstance(value, list):
            for one in value:
                walk(one)
        elif isinstance(value, str):
            assert value in {"", "!xxx", *Defect, *Outcome, *Failure}

    walk(json.loads(path.read_bytes()))
    found = read_report(tmp_path)
    assert found is not None
    assert found.cameras["gate"].standing == (Defect.COVERED,)


def test_no_file_and_a_file_too_large_are_no_report(tmp_path: Path) -> None:
    assert read_report(tmp_path) is None
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / NAME).write_bytes(b" " * (2 << 20))
    assert read_report(tmp_path) is None
    (tmp_path / FOLDER / NAME).unlink()
    (tmp_path / FOLDER / NAME).symlink_to("/dev/zero")
    assert read_report(tmp_path) is None
