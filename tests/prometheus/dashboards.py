"""The dashboards as Grafana would ask for them: panels, their queries, and variables put in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GRAFANA = Path(__file__).parents[2] / "config" / "grafana"
#: Queries without an answer in ``test_watching``: no disk stands behind a tmpfs, nothing is 90 days
#: old, a forecast wants hours of footage, and a self-check its night.
EMPTY_HERE = {
    "box: SMART A",
    "box: 硬盘温度 disk temperature A",
    "box: 删除 deleted A",
    "box: 预计保存 forecast A",
    "district: 预计保存 forecast A",
    "box: 夜间自检 self-check A",
}
_VARIABLE = re.compile(r"\$(\w+)")
_LABEL = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One query of a panel or, without legend, of a variable."""

    where: str  # dashboard and panel
    expression: str  # PromQL, variables put in
    legend: frozenset[str] = frozenset()  # labels that its legend names


def dashboards() -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in sorted(GRAFANA.glob("*.json"))}


def all_queries(values: dict[str, str]) -> list[Query]:
    """Of every dashboard.

    Args:
        values: what variables stand for.
    """
    return [query for name, one in dashboards().items() for query in _queries(name, one, values)]


def _queries(name: str, dashboard: dict[str, Any], values: dict[str, str]) -> Iterator[Query]:
    """Every query; variables of kind ``query`` ask for the series whose labels they list."""

    def filled(text: str) -> str:
        return _VARIABLE.sub(lambda found: values[found[1]], text)

    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
            assert found is not None, variable["name"]
            yield Query(
                where=f"{name}: ${variable['name']}",
                expression=filled(found[1]),
                legend=frozenset({found[2]}),
            )
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield Query(
                where=f"{name}: {panel['title']} {target['refId']}",
                expression=filled(target["expr"]),
                legend=frozenset(_LABEL.findall(target["legendFormat"])),
            )
