"""edge.demo.plan_json: plans for a child process."""

import pytest

from edge.demo import plan_json
from edge.demo.plan import CameraPlan, StreamPlan
from edge.demo.site import demo_plans
from retention.model import Codec


def test_plans_survive_the_way_to_a_child() -> None:
    stream = StreamPlan(codec=Codec.H265, audio=Codec.AAC, b_frames=2)
    plans = (*demo_plans(3), CameraPlan(id="x", stream=stream, rtp_base=5, password="p"))
    assert plan_json.from_json(plan_json.to_json(plans)) == plans


@pytest.mark.parametrize(
    "text",
    ["{}", "[{}]", "nonsense", '[{"id":"a","colour":1}]', '[{"id":"a","stream":{"codec":"x"}}]'],
)
def test_a_wrong_plan_is_refused(text: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        plan_json.from_json(text)
