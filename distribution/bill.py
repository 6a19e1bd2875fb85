"""The bill of materials (CycloneDX 1.5) and the licence notices, from the lock and what is
installed. Shell: reads the folders of installed distributions."""

from __future__ import annotations

import datetime
import re
import uuid
from collections.abc import Sequence
from importlib.metadata import Distribution
from typing import Any

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)", re.MULTILINE)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")

GPL_NOTICE = """\
PyAV (the Python package "av") is under the BSD licence. Its wheels, however, carry FFmpeg built
together with x264 and x265, which are under the GNU General Public License, version 2 or later:
who hands on this package with these wheels hands on GPL software, and owes what that licence asks
(the sources of FFmpeg, x264 and x265 of these versions, or a written offer of them).

The recorder never encodes: it needs libavformat and libavcodec for reading RTSP only. Encoders are
used by the simulated cameras of "xueliang demo" alone. To do without GPL parts, build PyAV from its
source against an FFmpeg that was configured without --enable-gpl, --enable-libx264 and
--enable-libx265:

    apt-get install pkg-config python3-dev gcc
    ./configure --disable-programs --disable-doc --enable-shared --disable-encoders \\
        --disable-muxers --enable-network --prefix=/opt/ffmpeg-lgpl && make install   # in FFmpeg
    PKG_CONFIG_PATH=/opt/ffmpeg-lgpl/lib/pkgconfig pip wheel --no-binary av "av==VERSION"

and put that wheel in place of the other one (its hash goes into requirements.txt). What is lost is
"xueliang demo", and nothing of recording.
"""


def pinned(requirements: str) -> dict[str, tuple[str, list[str]]]:
    """Name to version and SHA-256 hashes of each line of a hashed requirements file."""
    found = {}
    matches = list(_PIN.finditer(requirements))
    for match, following in zip(matches, [*matches[1:], None], strict=True):
        end = following.start() if following else len(requirements)
        hashes = _HASH.findall(requirements[match.end() : end])
        found[match[1].lower()] = (match[2], hashes)
    return found


def licence_of(distribution: Distribution) -> str:
    """As the distribution tells it: an expression, a name, or its classifiers."""
    told = distribution.metadata
    expressions = told.get_all("License-Expression")
    if expressions:
        return str(expressions[0])
    classifiers = [
        line.rsplit(" :: ", 1)[-1]
        for line in told.get_all("Classifier") or []
        if line.startswith("License ::") and line.count("::") > 1
    ]
    if classifiers:
        return ", ".join(classifiers)
    name = str((told.get_all("License") or [""])[0])
    return name if 0 < len(name) <= 80 and "\n" not in name else "see its licence file"


def carried_libraries(distribution: Distribution) -> list[str]:
    """Shared libraries that a wheel brings along for others (``*.libs/``)."""
    return sorted(file.name for file in distribution.files or [] if file.parts[0].endswith(".libs"))


def sbom(
    name: str,
    version: str,
    lock: str,
    installed: Sequence[Distribution],
    made_s: int,
) -> dict[str, Any]:
    """CycloneDX of everything in the lock; what is installed tells licences and libraries."""
    known = {_normal(one.metadata["Name"]): one for one in installed}
    components = []
    for package, (pin, hashes) in sorted(pinned(lock).items()):
        reference = f"pkg:pypi/{package}@{pin}"
        component: dict[str, Any] = {
            "type": "library",
            "bom-ref": reference,
            "name": package,
            "version": pin,
            "purl": reference,
            "hashes": [{"alg": "SHA-256", "content": one} for one in hashes],
        }
        distribution = known.get(_normal(package))
        if distribution is not None:
            component["licenses"] = [{"license": {"name": licence_of(distribution)}}]
            carried = carried_libraries(distribution)
            if carried:
                component["components"] = [
                    {"type": "library", "name": library} for library in carried
                ]
        components.append(component)
    instant = datetime.datetime.fromtimestamp(made_s, datetime.UTC)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{name}@{version}:{made_s}')}",
        "version": 1,
        "metadata": {
            "timestamp": instant.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "application",
                "bom-ref": f"{name}@{version}",
                "name": name,
                "version": version,
            },
        },
        "components": components,
        "dependencies": [
            {
                "ref": f"{name}@{version}",
                "dependsOn": [component["bom-ref"] for component in components],
            }
        ],
    }


def notices(installed: Sequence[Distribution]) -> str:
    """What is carried, under which licence, and the licences' own texts."""
    lines = ["Xueliang Edge carries the following software.", "", GPL_NOTICE, ""]
    ordered = sorted(installed, key=lambda one: _normal(one.metadata["Name"]))
    for one in ordered:
        lines.append(f"{one.metadata['Name']} {one.version}: {licence_of(one)}")
        lines += [f"    carries {library}" for library in carried_libraries(one)]
    for one in ordered:
        for file in sorted(one.files or [], key=str):
            is_licence = re.match(r"(?i)(licen[cs]e|copying|notice)", file.name)
            if is_licence and file.suffix not in (".py", ".pyc"):
                text = file.locate().read_text(errors="replace")  # type: ignore[attr-defined]
                lines += ["", "-" * 79, f"{one.metadata['Name']}: {file}", "", text.rstrip()]
    return "\n".join([*lines, ""])


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
