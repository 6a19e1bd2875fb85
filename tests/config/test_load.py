from __future__ import annotations

import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.address import Address
from config.load import FILE_BYTES_MAX, ConfigError, Problem, load, parse
from config.schema import Settings

EXAMPLE = Path(__file__).parents[2] / "config" / "xueliang.example.toml"

# ruff: noqa: E501 - tables read better in one line

GOOD = """\
[site]
name = "阳光托育中心"
[storage]
volumes = ["{dir}/a", "{dir}/b"]
state_dir = "{dir}/state"
[retention]
min_days = 90
max_days = 97
[[camera]]
id = "gate-exit"
name = "人行出口"
gb_id = "36010200001320000001"
onvif = "192.0.2.10:80"
username = "recorder"
password_file = "{dir}/password"
[camera.archive]
address = "北门"
[[camera]]
id = "yard"
name = "操场"
gb_id = "36010200001320000002"
rtsp = "rtsp://192.0.2.11:554/stream1"
[[platform]]
name = "police"
authorised_by = "东府办发〔2020〕160号"
server = "192.0.2.200:5060"
server_id = "36010200002000000001"
domain = "3601020000"
device_id = "36010200001180000001"
password_file = "{dir}/password"
interface = "eth1"
channels = ["gate-exit"]
[metrics]
bind = "127.0.0.1:9580"
"""


@pytest.fixture
def good(tmp_path: Path) -> str:
    (tmp_path / "password").write_text("pass-word-1")
    os.chmod(tmp_path / "password", 0o600)
    return GOOD.replace("{dir}", str(tmp_path))


def problems(text: str) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as caught:
        parse(text, file="x.toml")
    return caught.value.problems


def only(text: str) -> Problem:
    found = problems(text)
    assert len(found) == 1, [problem.sentence() for problem in found]
    return found[0]


def test_good_settings_become_values(good: str) -> None:
    settings = parse(good, file="x.toml")
    assert settings.site.name == "阳光托育中心"
    assert settings.storage.reserve_bytes == 5 * 2**30
    assert settings.storage.buffer_bytes == 64 * 2**20
    assert settings.storage.durability_us == 5_000_000
    gate, yard = settings.camera
    assert gate.onvif == Address(host="192.0.2.10", port=80)
    assert gate.archive.address == "北门"
    assert gate.enabled
    assert gate.gb_id is not None
    assert gate.gb_id.type_code == "132"
    assert yard.rtsp == "rtsp://192.0.2.11:554/stream1"
    assert settings.platform[0].channels == ("gate-exit",)
    assert hash(settings) == hash(parse(good, file="y.toml"))


def test_an_unchanged_camera_equals_itself_after_a_reload(good: str) -> None:
    """The diff of a reload stands on this."""
    before = parse(good, file="x.toml")
    after = parse(good.replace("操场", "后院"), file="x.toml")
    assert before.camera[0] == after.camera[0]
    assert before.camera[1] != after.camera[1]


def test_the_example_has_no_fault_but_its_missing_password_files() -> None:
    with pytest.raises(ConfigError) as caught:
        load(EXAMPLE)
    keys = [problem.place.key for problem in caught.value.problems]
    assert keys == ["camera[gate-exit].password_file", "camera[yard].password_file"]


def test_the_commented_platform_of_the_example_is_right(tmp_path: Path) -> None:
    text = EXAMPLE.read_text()
    head, tail = text.split("# [[platform]]")
    lines = ("# [[platform]]" + tail).split("\n")
    text = head + "\n".join(line.removeprefix("# ") for line in lines)
    (tmp_path / "p").write_text("x")
    os.chmod(tmp_path / "p", 0o600)
    for name in ("gate-exit", "yard", "platform"):
        text = text.replace(f"/etc/xueliang/secrets/{name}", str(tmp_path / "p"))
    assert parse(text, file="x.toml").platform[0].edition == "2022"


# what is replaced, by what, the line and key named, words of the sentence, words of the mend
ONE_FAULT = [
    (
        "min_days = 90", "min_days = 90\naudit_days = 100", 8, "retention.audit_days",
        "is 100, too little", "set 183 or more",
    ),
    (
        "min_days = 90", 'min_days = 90\ntwo_person_release = "yes"', 8,
        "retention.two_person_release", "is neither true nor false", "without quotes",
    ),
    ("min_days = 90", "min_days = 60", 7, "retention.min_days", "is 60, below the 90", "90 or more"),
    ("max_days = 97", "max_days = 80", 8, "retention.max_days", "(80) is below min_days (90)", "set"),
    (
        'id = "yard"', 'id = "yard"\nmin_days = 89', 20, "camera[yard].min_days",
        "is 89, below the 90", "90 or more",
    ),
    (
        'id = "yard"', 'id = "yard"\nmin_days = 180', 20, "camera[yard].min_days",
        "(97) is below min_days (180)", "max_days",
    ),
    ("max_days", "max_dayz", 8, "retention.max_dayz", "is no setting", "did you mean max_days?"),
    ("[metrics]", "[metric]", 33, "metric", "is no setting", "did you mean metrics?"),
    (
        "address = \"北门\"", "adress = \"x\"", 17, "camera[gate-exit].archive.adress",
        "is no setting", "did you mean address?",
    ),
    ('id = "yard"', 'id = "gate-exit"', 19, "camera[gate-exit].id", "as of camera no. 1", "own"),
    (
        '"36010200001320000002"', '"36010200001320000001"', 21, "camera[yard].gb_id",
        "as of camera no. 1", "own",
    ),
    (
        '"36010200001320000002"', "36010200001320000002", 21, "camera[yard].gb_id",
        "is a number", "in quotes",
    ),
    (
        '"36010200001320000002"', '"3601020000132000000"', 21, "camera[yard].gb_id",
        "exactly 20 digits", "codes",
    ),
    (
        "device_id = \"36010200001180000001\"", "device_id = \"36010200001320000001\"", 29,
        "platform[police].device_id", "is the gb_id of a camera", "118",
    ),
    ('onvif = "192.0.2.10:80"', 'onvif = "192.0.2.10"', 13, "camera[gate-exit].onvif", "host:port", ""),
    (
        'onvif = "192.0.2.10:80"', "", 9, "camera[gate-exit]", "has neither onvif nor rtsp", "say",
    ),
    (
        'onvif = "192.0.2.10:80"', 'onvif = "h:80"\nrtsp = "rtsp://h/"', 14,
        "camera[gate-exit].rtsp", "stands beside onvif", "keep",
    ),
    (
        "rtsp://192", "rtsp://admin:hunter2@192", 22, "camera[yard].rtsp", "holds credentials",
        "password_file",
    ),
    ("rtsp://192", "http://192", 22, "camera[yard].rtsp", "is no RTSP URL", "rtsp://"),
    ('username = "recorder"', "", 15, "camera[gate-exit].password_file", "without username", "add"),
    ('name = "操场"', f'name = "{"x" * 600}"', 20, "camera[yard].name", "600 characters", "500"),
    ('name = "操场"', 'name = "a\\nb"', 20, "camera[yard].name", "control characters", "line"),
    ('id = "yard"', 'id = "../yard"', 19, "camera[../yard].id", "is no id", "a-z"),
    ('id = "yard"', 'id = "journal"', 19, "camera[journal].id", "reserved", "another"),
    ('name = "操场"', 'password = "hunter2"\nname = "x"', 20, "camera[yard].password", "is no setting",
     "password_file"),
    ('name = "操场"', "", 18, "camera[yard].name", "is missing", "add"),
    ("127.0.0.1:9580", "127.0.0.1", 34, "metrics.bind", "host:port", "127.0.0.1:9580"),
    ("127.0.0.1:9580", "localhost:9580", 34, "metrics.bind", "no IP address", "127.0.0.1"),
    ("127.0.0.1:9580", "0.0.0.0:9580", 34, "metrics.bind", "which others can reach", "127.0.0.1"),
    ("127.0.0.1:9580", "127.0.0.1:65535", 34, "metrics.bind", "leaves no room", "lower"),
    ("127.0.0.1:9580", "127.0.0.1:8442", 0, "console.bind", "takes port 8443", "another port"),
    ('interface = "eth1"', "", 23, "platform[police]", "has neither of interface and bind", "name"),
    ('interface = "eth1"', 'bind = "x.example"', 31, "platform[police].bind", "no IP address", ""),
    ('["gate-exit"]', '["gone"]', 32, "platform[police].channels", "'gone'", "ids of [[camera]]"),
    ('onvif = ', 'expose = false\nonvif = ', 33, "platform[police].channels",
     "expose = false", "expose"),
    ('gb_id = "36010200001320000001"', "", 9, "camera[gate-exit]", "has no gb_id", "add its gb_id"),
    ('name = "操场"', 'name = "x"\nrole = "door"', 21, "camera[yard].role", "none of its choices",
     "'face', 'vehicle' or 'general'"),
    ('name = "操场"', 'name = "x"\naudio = "yes"', 21, "camera[yard].audio", "is neither true nor false", "without quotes"),
    ("max_days = 97", "max_days = 97.5", 8, "retention.max_days", "is wrong", ""),
    ("[retention]", "durability_seconds = 0\n[retention]", 6, "storage.durability_seconds",
     "is 0, too little", "0.1"),
    ("[retention]", "durability_seconds = nan\n[retention]", 6, "storage.durability_seconds",
     "is wrong", ""),
    ("[retention]", "reserve_bytes = 5\n[retention]", 6, "storage.reserve_bytes", "not text", ""),
    ("[retention]", 'buffer_bytes = "1KiB"\n[retention]', 6, "storage.buffer_bytes", "1KiB", "8MiB"),
    ("[storage]", 'timezone = "Mars/X"\n[storage]', 3, "site.timezone", "no time zone", "Shanghai"),
    ("[site]", "[site]\nname", 2, "", "this is not TOML", "line"),
    (
        '"36010200001320000002"', "06010200001320000002", 21, "", "this is not TOML", "in quotes",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "key", "what", "mend"), ONE_FAULT)
def test_one_fault_gives_one_problem_with_its_place_and_mend(
    good: str, old: str, new: str, line: int, key: str, what: str, mend: str
) -> None:
    assert old in good
    problem = only(good.replace(old, new, 1))
    assert (problem.place.line, problem.place.key) == (line, key)
    assert what in problem.what
    assert mend in problem.mend
    assert "hunter2" not in problem.sentence()
    assert "\n" not in problem.sentence()
    assert len(problem.sentence()) < 500


def test_all_faults_are_told_at_once(good: str) -> None:
    text = (
        good.replace("min_days = 90", "min_days = 30")
        .replace("max_days = 97", "max_days = 20")
        .replace('id = "yard"', 'id = "gate-exit"\ncolour = "red"')
        .replace('onvif = "192.0.2.10:80"', "")
        .replace("/state", "/a/state")
        .replace("/password", "/none", 1)
    )
    keys = [problem.place.key for problem in problems(text)]
    assert keys == [
        "storage.state_dir",
        "retention.min_days",
        "retention.max_days",
        "camera[gate-exit]",
        "camera[gate-exit].password_file",
        "camera[gate-exit].id",
        "camera[gate-exit].colour",
    ]


def test_the_error_itself_is_one_sentence(good: str) -> None:
    with pytest.raises(
        ConfigError, match=r"^x.toml has 2 problems, the first: x.toml:7: "
    ) as caught:
        parse(good.replace("90", "60").replace("97", "50"), file="x.toml")
    assert caught.value.code == "config"
    assert caught.value.report().count("\n") == 1


@pytest.mark.parametrize(
    ("volumes", "state", "words"),
    [
        (["/x/a", "/x/a"], "/x/s", "is the same folder as"),
        (["/x/a", "/x/a/../a/"], "/x/s", "is the same folder as"),
        (["/x/a", "/x/a/b"], "/x/s", "lies inside"),
        (["/x/a/b", "/x/a"], "/x/s", "contains"),
        (["/x/a"], "/x/a/s", "lies inside"),
        (["/x/s/a"], "/x/s", "contains"),
        (["/"], "/x/s", "is the root folder"),
    ],
)
def test_overlapping_folders_are_refused(
    good: str, tmp_path: Path, volumes: list[str], state: str, words: str
) -> None:
    lines = good.split("\n")
    lines[3] = f"volumes = {volumes}".replace("/x", str(tmp_path))
    lines[4] = f"state_dir = '{state}'".replace("/x", str(tmp_path))
    assert words in only("\n".join(lines)).what


def test_overlap_through_a_symbolic_link_is_refused(good: str, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert "is the same folder as" in only(good).what


def test_siblings_with_a_common_beginning_do_not_overlap(good: str) -> None:
    parse(good.replace('/b"]', '/a2"]'), file="x.toml")


def test_a_password_file_open_to_others_is_refused(good: str, tmp_path: Path) -> None:
    os.chmod(tmp_path / "password", 0o644)
    found = problems(good)
    assert [problem.place.line for problem in found] == [15, 30]
    assert "open to other users (mode 0644)" in found[0].what
    assert found[0].mend == f"chmod 600 {tmp_path}/password"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('camera = "x"', "camera is no array of tables"),
        ("[camera]\nid = 'x'", "camera is no array of tables"),
        ("camera = [1]", "camera[no. 1] is no table"),
        ("storage = 1", "storage is no table"),
        ("[storage]\nvolumes = '/a'", "storage.volumes is no list"),
        ("[storage]\nvolumes = [1]", "storage.volumes[no. 1] is a number"),
        ("[storage]\nvolumes = []", "storage.volumes is empty"),
        ("x = " + "[" * 5000, "nested too deep"),
        ("x = " + "1" * 5000, "this is not TOML"),
    ],
)
def test_things_of_another_shape_are_told(text: str, words: str) -> None:
    assert any(words in problem.what for problem in problems(text)), problems(text)


@pytest.mark.parametrize(
    ("data", "words", "line"),
    [
        (None, "does not exist", 0),
        (b"[site]\nname = '\xff'\n", "is not UTF-8", 2),
        (b"#" * (FILE_BYTES_MAX + 1), "is above", 0),
    ],
)
def test_unreadable_files_are_told(
    tmp_path: Path, data: bytes | None, words: str, line: int
) -> None:
    path = tmp_path / "x.toml"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(ConfigError, match=words) as caught:
        load(path)
    assert caught.value.problems[0].place.line == line
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)


def test_a_byte_order_mark_and_dos_line_ends_are_taken(good: str, tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(b"\xef\xbb\xbf" + good.replace("\n", "\r\n").encode())
    assert len(load(path).camera) == 2


def taken_or_told(text: str) -> Settings | None:
    try:
        return parse(text, file="x.toml")
    except ConfigError as error:
        error.report()
        return None


@given(st.text(max_size=80))
def test_any_text_is_taken_or_told(text: str) -> None:
    assert taken_or_told(text) is None


JSON = st.recursive(
    st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["/a", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)  # fmt: skip


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_any_value_in_any_place_is_taken_or_told(good: str, data: st.DataObject) -> None:
    """Each setting in turn becomes something else; the loader answers, it never breaks."""
    import tomllib

    raw = copy.deepcopy(tomllib.loads(good))
    places = list(setters(raw))
    data.draw(st.sampled_from(places))(data.draw(JSON))
    taken_or_told(as_toml(raw))


def setters(node: Any) -> list[Callable[[Any], None]]:
    found: list[Callable[[Any], None]] = []
    for key in list(node) if isinstance(node, dict) else range(len(node)):

        def put(value: Any, node: Any = node, key: Any = key) -> None:
            node[key] = value

        found.append(put)
        if isinstance(node[key], dict | list):
            found += setters(node[key])
    return found


def as_toml(value: Any) -> str:
    """``value`` in TOML: the top as keys, all below inline."""

    def key(text: str) -> str:
        return '"' + "".join(f"\\U{ord(char):08x}" for char in text) + '"'

    def inline(item: Any) -> str:
        if isinstance(item, dict):
            return "{" + ", ".join(f"{key(k)} = {inline(v)}" for k, v in item.items()) + "}"
        if isinstance(item, list):
            return "[" + ", ".join(map(inline, item)) + "]"
        if isinstance(item, str):
            return key(item)
        return str(item).lower()

    return "\n".join(f"{key(k)} = {inline(v)}" for k, v in value.items())


TREE = """
[[platform.directory]]
id = "36010200002150000001"
name = "托育机构"
[[platform.directory]]
id = "36010200002160000001"
name = "出入口"
parent = "36010200002150000001"
cameras = ["gate-exit"]
"""


@pytest.mark.parametrize(
    ("old", "new", "key", "words"),
    [
        ('id = "36010200002160000001"', 'id = "36010200002150000001"', "id", "directory no. 1 too"),
        ('parent = "36010200002150000001"', 'parent = "340200"', "parent", "'340200'"),
        ('cameras = ["gate-exit"]', 'cameras = ["gone"]', "cameras", "'gone'"),
        ('id = "36010200002160000001"', 'id = "123"', "id", ""),
    ],
)
def test_a_platform_s_tree_holds_together(
    good: str, old: str, new: str, key: str, words: str
) -> None:
    whole = good.replace("\n[metrics]", TREE + "\n[metrics]")
    tree = parse(whole, file="x.toml").platform[0].directory
    assert [one.name for one in tree] == ["托育机构", "出入口"]
    problem = problems(whole.replace(old, new))[0]
    assert problem.place.key.endswith(f"].{key}")
    assert words in str(problem)


def test_orders_that_are_never_refused_need_no_permission(good: str) -> None:
    problem = only(good.replace('["gate-exit"]', '["gate-exit"]\nallow = ["PTZCmd"]'))
    assert "platform[police].allow" in problem.place.key


def test_exports_lie_apart_from_footage() -> None:
    """Their copies are deleted; footage is not among them."""
    from config.rules import faults

    def found(export_dir: str) -> list[str]:
        raw = {
            "storage": {"volumes": ["/srv/xueliang/a"]},
            "console": {"export_dir": export_dir},
        }
        return [one.predicate for one in faults(raw) if one.key == ("console", "export_dir")]

    for path in ("/srv/xueliang/a", "/srv/xueliang/a/exports", "/srv/xueliang", "/"):
        assert found(path) == ["lies on the volume /srv/xueliang/a, or around it"]
    assert found("/srv/exports") == found("/srv/xueliang/ab") == []
