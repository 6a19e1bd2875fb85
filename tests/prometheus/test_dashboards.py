"""What can be told of the dashboards without Grafana, of which no registry here has the server.

Their types were checked once against Grafana's own (the npm packages @grafana/schema 13.2 and
@grafana/prometheus 13.1, ``tsc --strict``); here stands what these types do not say. That every
query has an answer is for ``test_watching``.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest

from tests.prometheus.dashboards import EMPTY_HERE, all_queries, dashboards
from tests.prometheus.metrics_table import CONTRACT
from tests.prometheus.names import names_in

COLUMNS = 24
KINDS = {"row", "stat", "timeseries", "bargauge", "table"}
#: Grafana's ids of units (packages/grafana-data/src/valueFormats/categories.ts).
UNITS = {"none", "percentunit", "s", "bytes", "bps", "Bps", "celsius"}
SOURCE = {"type": "prometheus", "uid": "${datasource}"}

each = pytest.mark.parametrize("name", ["box", "district"])


@each
def test_panels_stand_side_by_side(name: str) -> None:
    panels = dashboards()[name]["panels"]
    for one in panels:
        place = one["gridPos"]
        assert place["w"] > 0
        assert place["h"] > 0
        assert 0 <= place["x"] <= COLUMNS - place["w"], one["title"]
    for one, two in combinations(panels, 2):
        assert not _overlap(one["gridPos"], two["gridPos"]), (one["title"], two["title"])
    ids = [one["id"] for one in panels]
    assert sorted(ids) == sorted(set(ids))


def _overlap(one: dict[str, int], two: dict[str, int]) -> bool:
    across = one["x"] < two["x"] + two["w"] and two["x"] < one["x"] + one["w"]
    return across and one["y"] < two["y"] + two["h"] and two["y"] < one["y"] + one["h"]


@each
def test_every_panel_can_be_drawn(name: str) -> None:
    for one in dashboards()[name]["panels"]:
        assert one["type"] in KINDS
        assert one["title"]
        if one["type"] == "row":
            continue
        assert one["datasource"] == SOURCE, one["title"]
        targets = one["targets"]
        assert targets, one["title"]
        assert len({target["refId"] for target in targets}) == len(targets), one["title"]
        for target in targets:
            assert target["datasource"] == SOURCE, one["title"]
            # a table and a figure are of now, a curve is of the time that was chosen
            is_of_now = one["type"] != "timeseries"
            assert target.get("instant", False) is is_of_now, one["title"]
            assert (target.get("format") == "table") is (one["type"] == "table"), one["title"]
        defaults = one["fieldConfig"]["defaults"]
        assert defaults.get("unit", "none") in UNITS, one["title"]
        _check_steps(defaults.get("thresholds"))


def _check_steps(thresholds: dict[str, Any] | None) -> None:
    """The first one has no value (it is from minus infinity), the others rise."""
    if thresholds is None:
        return
    first, *others = (step["value"] for step in thresholds["steps"])
    assert first is None
    assert others == sorted(others)


@each
def test_every_variable_is_there(name: str) -> None:
    dashboard = dashboards()[name]
    known = {one["name"] for one in dashboard["templating"]["list"]}
    text = str(dashboard)
    assert "datasource" in known
    for one in known - {"datasource"}:
        assert f"${one}" in text, f"{one} is asked for and not used"


def test_legends_of_what_the_running_site_cannot_answer_name_labels_that_are_there() -> None:
    left = [one for one in all_queries({"site": "", "camera": ""}) if one.where in EMPTY_HERE]
    assert {one.where for one in left} == EMPTY_HERE
    for one in left:
        known = {label for name in names_in(one.expression) for label in _labels(name)}
        assert one.legend <= known | {"site"}, one


def _labels(name: str) -> tuple[str, ...]:
    """Those that the contract gives a metric; it does not name all that there are."""
    return CONTRACT[name][1] if name in CONTRACT else ()
