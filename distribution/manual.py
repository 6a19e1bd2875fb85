"""Manual pages and shell completion, made from the commands themselves. Core, but for click."""

from __future__ import annotations

import datetime
import re

import click
from click.shell_completion import get_completion_class

PROGRAM = "xueliang"
COMPLETION_FILES = {
    "bash": "usr/share/bash-completion/completions/xueliang",
    "zsh": "usr/share/zsh/vendor-completions/_xueliang",
    "fish": "usr/share/fish/vendor_completions.d/xueliang.fish",
}


def pages(main: click.Group, version: str, made_s: int) -> dict[str, str]:
    """Section 1: one page for the program and one for each command, by file name."""
    date = datetime.datetime.fromtimestamp(made_s, datetime.UTC).strftime("%Y-%m-%d")
    found = {}
    for path, command in _commands(main, (PROGRAM,)):
        name = "-".join(path)
        found[f"{name}.1"] = _page(path, command, f'"{date}" "Xueliang Edge {version}"')
    return found


def settings_page(example: str, version: str, made_s: int) -> str:
    """Section 5: the example settings, which explain themselves."""
    date = datetime.datetime.fromtimestamp(made_s, datetime.UTC).strftime("%Y-%m-%d")
    return "\n".join(
        [
            f'.TH XUELIANG.TOML 5 "{date}" "Xueliang Edge {version}"',
            ".SH NAME",
            r"xueliang.toml \- settings of Xueliang Edge",
            ".SH DESCRIPTION",
            "/etc/xueliang/xueliang.toml; unknown keys are errors. An example with every setting:",
            ".PP",
            ".nf",
            *(_roff(line) for line in example.splitlines()),
            ".fi",
            ".SH SEE ALSO",
            ".BR xueliang (1)",
            "",
        ]
    )


def completions(main: click.Group) -> dict[str, str]:
    """Completion scripts, by where they are installed."""
    found = {}
    for shell, path in COMPLETION_FILES.items():
        made = get_completion_class(shell)
        assert made is not None
        found[path] = made(main, {}, PROGRAM, "_XUELIANG_COMPLETE").source()
    return found


def _commands(
    command: click.Command, path: tuple[str, ...]
) -> list[tuple[tuple[str, ...], click.Command]]:
    found = [(path, command)]
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            if not command.commands[name].hidden:
                found += _commands(command.commands[name], (*path, name))
    return found


def _page(path: tuple[str, ...], command: click.Command, footer: str) -> str:
    name = "-".join(path)
    context = click.Context(command, info_name=" ".join(path))
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [
        f".TH {name.upper()} 1 {footer}",
        ".SH NAME",
        rf"{_roff(name)} \- {_roff(command.get_short_help_str(limit=200))}",
        ".SH SYNOPSIS",
        f".B {_roff(' '.join(path))}",
        _roff(usage),
        ".SH DESCRIPTION",
        *_paragraphs(command.help or ""),
    ]
    options = [record for one in command.params if (record := one.get_help_record(context))]
    if options:
        lines.append(".SH OPTIONS")
        for declared, text in options:
            lines += [".TP", f".B {_roff(declared)}", _roff(text) or r"\&"]
    if isinstance(command, click.Group):
        lines.append(".SH COMMANDS")
        for sub_name in sorted(command.commands):
            sub = command.commands[sub_name]
            if sub.hidden:
                continue
            lines += [
                ".TP",
                f".BR {_roff('-'.join((*path, sub_name)))} (1)",
                _roff(sub.get_short_help_str(limit=200)),
            ]
    lines += [
        ".SH EXIT STATUS",
        "0: done. 1: a finding or failure. 2: bad usage or settings.",
        ".SH FILES",
        ".I /etc/xueliang/xueliang.toml",
        ".SH SEE ALSO",
        ".BR xueliang (1),",
        ".BR xueliang.toml (5)",
        "",
    ]
    return "\n".join(lines)


def _paragraphs(text: str) -> list[str]:
    lines: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text.replace("\b", "").strip()):
        lines += [".PP", _roff(" ".join(paragraph.split()))]
    return lines


def _roff(text: str) -> str:
    """As text of groff(7): backslashes, hyphens, and no request by a leading dot or quote."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{escaped}" if escaped[:1] in (".", "'") else escaped
