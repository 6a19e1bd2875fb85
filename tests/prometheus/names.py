"""Which metrics rules and dashboards name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

CONFIG = Path(__file__).parents[2] / "config"
_NAME = re.compile(r"(?<![\w:])((?:nvr|process|python)_\w+)(?![\w:])")
#: What a histogram or a recording rule adds to a name.
_SUFFIXES = ("_bucket", "_sum", "_count")


def used_names() -> dict[str, set[str]]:
    """Names of our metrics by the file that uses them; recording rules' own names left out."""
    found = {}
    for path in sorted(CONFIG.glob("prometheus/*.yml")):
        document = yaml.safe_load(path.read_text())
        rules = [rule for group in document.get("groups", ()) for rule in group["rules"]]
        found[path.name] = {name for rule in rules for name in names_in(rule["expr"])}
    for path in sorted(CONFIG.glob("grafana/*.json")):
        expressions = list(_expressions(json.loads(path.read_text())))
        assert expressions, path.name
        found[path.name] = {name for expression in expressions for name in names_in(expression)}
    return found


def recorded_names() -> dict[str, set[str]]:
    """Names of recording rules that each dashboard uses."""
    return {
        path.name: {
            name
            for expression in _expressions(json.loads(path.read_text()))
            for name in re.findall(r"\w+:\w+:\w+", expression)
        }
        for path in sorted(CONFIG.glob("grafana/*.json"))
    }


def names_in(expression: str) -> set[str]:
    """Metrics that an expression names."""
    without_text = re.sub(r'"[^"]*"', '""', expression)
    return {_bare(name) for name in _NAME.findall(without_text)}


def _bare(name: str) -> str:
    for suffix in _SUFFIXES:
        if name.endswith(f"_seconds{suffix}"):
            return name.removesuffix(suffix)
    return name


def _expressions(node: Any) -> Any:
    """Every PromQL of a dashboard: of panels and of variables."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("expr", "query") and isinstance(value, str):
                yield value
            else:
                yield from _expressions(value)
    elif isinstance(node, list):
        for one in node:
            yield from _expressions(one)
