"""Whether a camera's entry in the register (一机一档) is one that platforms take. Core.

GB/T 28181-2022 annex A.2.4: elements of the Catalog that must be there, those that must be there
for points of class 1 and 2, and codes that mean something. What the camera tells of itself (maker,
model) stands in for what the settings leave out, as in the Catalog.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from config.schema import Camera

#: Digits 11 to 13 of a camera's code: dome or fixed, network camera.
CAMERA_TYPES = frozenset({"131", "132"})
#: WGS-84 box around the mainland and its islands, in degrees.
LONGITUDES, LATITUDES = (73.0, 136.0), (3.0, 54.0)
#: FunctionType of a face and of a vehicle checkpoint.
_FUNCTIONS = {"face": "01", "vehicle": "03"}
_DATE = re.compile(r"[12][0-9]{3}-[01][0-9]-[0-3][0-9](T[0-9:.+Z-]+)?", re.ASCII)
#: Real registers hold these where nobody knew.
_EMPTY_WORDS = frozenset({"null", "none", "无", "未知", "unknown", "test", "测试"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveFinding:
    """``field`` as the settings call it."""

    field: str
    zh: str
    en: str


def archive_findings(
    camera: Camera,
    *,
    names: Collection[str],
    told_manufacturer: str = "",
    told_model: str = "",
    name_differs: bool | None = None,
) -> list[ArchiveFinding]:
    """Everything that a platform would object to.

    Args:
        names: of every camera of the site, this one's too.
        name_differs: the picture shows another text than the name; None: nobody has looked.
    """
    return [
        *_code(camera),
        *_texts(camera, told_manufacturer, told_model),
        *_name(camera, names, name_differs),
        *_place(camera),
        *_point(camera),
    ]


def _code(camera: Camera) -> Iterator[ArchiveFinding]:
    code = camera.gb_id
    if code is None:
        yield ArchiveFinding(field="gb_id", zh="没有国标编码", en="has no national code")
        return
    if code.type_code not in CAMERA_TYPES:
        yield ArchiveFinding(
            field="gb_id",
            zh=f"编码类型 {code.type_code} 不是摄像机（131、132）",
            en=f"type {code.type_code} of its code is no camera's (131, 132)",
        )
    if not "11" <= code[:2] <= "82" or code[2:6] == "0000":
        yield ArchiveFinding(
            field="gb_id",
            zh=f"编码的行政区划 {code[:6]} 无效",
            en=f"area {code[:6]} of its code is none",
        )
    area = camera.archive.civil_code
    if area and not code.startswith(area):
        yield ArchiveFinding(
            field="civil_code",
            zh=f"行政区划 {area} 与编码 {code[:6]} 不一致",
            en=f"area {area} is not that of its code, {code[:6]}",
        )


def _texts(camera: Camera, manufacturer: str, model: str) -> Iterator[ArchiveFinding]:
    archive = camera.archive
    for field, value, zh in (
        ("manufacturer", archive.manufacturer or manufacturer, "厂商"),
        ("model", archive.model or model, "型号"),
        ("address", archive.address, "安装地址"),
    ):
        if _is_empty(value):
            yield ArchiveFinding(field=field, zh=f"没有{zh}", en=f"{field} is missing")


def _name(
    camera: Camera, names: Collection[str], name_differs: bool | None
) -> Iterator[ArchiveFinding]:
    if _is_empty(camera.name):
        yield ArchiveFinding(field="name", zh="名称无效", en="its name says nothing")
    if list(names).count(camera.name) > 1:
        yield ArchiveFinding(
            field="name",
            zh=f"名称“{camera.name}”重复",
            en=f"another camera is called {camera.name!r}, too",
        )
    if name_differs:
        yield ArchiveFinding(
            field="name", zh="画面字符与名称不符", en="the text in the picture is not its name"
        )


def _place(camera: Camera) -> Iterator[ArchiveFinding]:
    longitude, latitude = camera.archive.longitude, camera.archive.latitude
    if longitude is None or latitude is None:
        if camera.archive.point_type in ("1", "2"):
            yield ArchiveFinding(
                field="longitude",
                zh="一、二类点没有经纬度",
                en="a point of class 1 or 2 has no longitude and latitude",
            )
        return
    is_there = LONGITUDES[0] <= longitude <= LONGITUDES[1]
    if not is_there or not LATITUDES[0] <= latitude <= LATITUDES[1]:
        yield ArchiveFinding(
            field="longitude",
            zh=f"经纬度 {longitude}, {latitude} 不在境内",
            en=f"{longitude}, {latitude} is not in the country",
        )


def _point(camera: Camera) -> Iterator[ArchiveFinding]:
    archive = camera.archive
    if not archive.point_type:
        yield ArchiveFinding(
            field="point_type", zh="没有点位类型（1、2、3、9）", en="class of point is missing"
        )
    if archive.grassroots_code and len(archive.grassroots_code) != 6:
        yield ArchiveFinding(
            field="grassroots_code", zh="基层组织编码不是六位", en="has not six digits"
        )
    wanted = _FUNCTIONS.get(camera.role)
    if wanted is not None and wanted not in archive.function_type.split("/"):
        yield ArchiveFinding(
            field="function_type",
            zh=f"功能类型应含 {wanted}",
            en=f"does not hold {wanted}, which its role asks for",
        )
    if archive.install_time and not _DATE.fullmatch(archive.install_time):
        yield ArchiveFinding(
            field="install_time", zh="安装时间不是日期", en="is no date as in 2026-09-01"
        )
    if archive.point_type == "1":
        for field, value, zh in (
            ("install_time", archive.install_time, "安装时间"),
            ("contact", archive.contact, "联系方式"),
        ):
            if _is_empty(value):
                yield ArchiveFinding(
                    field=field, zh=f"一类点没有{zh}", en="a point of class 1 must have it"
                )


def _is_empty(text: str) -> bool:
    return not text.strip() or text.strip().lower() in _EMPTY_WORDS
