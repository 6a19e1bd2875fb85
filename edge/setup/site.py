"""A site file: settings that may carry passwords, parted into settings and password files. Core.

It is the settings file (``xueliang.toml``), where a camera or platform may say ``password`` instead
of ``password_file`` and ``[storage]`` may be left out. Nothing is judged here: what is made is read
by :mod:`config.load`, as any settings file is.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.errors import XueliangError
from edge.setup.toml_text import toml_text

DEFAULT_STORAGE = {"volumes": ["/srv/xueliang/a"], "state_dir": "/var/lib/xueliang"}
#: The services' users.
EDGE, UPLINK = "xueliang-edge", "xueliang-uplink"
CONSOLE, DIAGNOSE = "xueliang-console", "xueliang-diagnose"
#: Who reads the passwords of what.
OWNERS = {"camera": EDGE, "platform": UPLINK}
HEAD = (
    "# Written by xueliang setup; passwords stand in files of their own. See xueliang.toml(5).\n\n"
)


class SiteFileRefused(XueliangError):
    """A site file is not what it should be."""

    code = "site_file"


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordFile:
    """``text`` goes to ``path``, for ``owner`` alone."""

    path: Path
    owner: str
    text: str

    def __repr__(self) -> str:
        return f"PasswordFile({self.path}, {self.owner})"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupPlan:
    """What set-up writes."""

    settings_text: str
    passwords: tuple[PasswordFile, ...]
    volumes: tuple[Path, ...]
    state_dir: Path


def setup_plan(site: Mapping[str, Any], secrets: Path) -> SetupPlan:
    """What the site file asks for; password files go below ``secrets``.

    Raises:
        SiteFileRefused: a table has the wrong shape, a password is none, or a password and a
            password file stand both.
    """
    document = copy.deepcopy(dict(site))
    storage = {**DEFAULT_STORAGE, **_mapping(document, "storage")}
    document["storage"] = storage
    passwords: list[PasswordFile] = []
    for table, owner in OWNERS.items():
        found = document.get(table, [])
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise SiteFileRefused(f"{table} is no list of tables", hint=f"write [[{table}]]")
        for number, one in enumerate(found, 1):
            text = one.pop("password", None)
            if text is None:
                continue
            if "password_file" in one:
                raise SiteFileRefused(
                    f"[[{table}]] number {number} has both password and password_file",
                    hint="keep one of them",
                )
            if not isinstance(text, str) or not text:
                raise SiteFileRefused(
                    f"the password of [[{table}]] number {number} is no text",
                    hint="put it in quotes",
                )
            if text != text.strip("\r\n"):
                raise SiteFileRefused(
                    "a password ends with a line end", hint="write it in one line"
                )
            name = one.get("id") if table == "camera" else f"platform-{number}"
            if not isinstance(name, str) or "/" in name or name.startswith("."):
                raise SiteFileRefused(f"[[{table}]] number {number} has no id", hint="give it one")
            path = secrets / name
            one["password_file"] = str(path)
            passwords.append(PasswordFile(path=path, owner=owner, text=text))
    paths = [str(one.path) for one in passwords]
    if len(set(paths)) != len(paths):
        raise SiteFileRefused("two cameras have the same id", hint="each needs one of its own")
    return SetupPlan(
        settings_text=HEAD + toml_text(document),
        passwords=tuple(passwords),
        volumes=tuple(Path(str(one)) for one in storage["volumes"]),
        state_dir=Path(str(storage["state_dir"])),
    )


def _mapping(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = document.get(name, {})
    if not isinstance(found, dict):
        raise SiteFileRefused(f"{name} is no table", hint=f"write [{name}]")
    return found
