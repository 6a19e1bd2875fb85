"""edge.demo.plan: what a camera is to be."""

from edge.demo.plan import CameraPlan


def test_the_password_is_not_shown() -> None:
    assert "hush" not in repr(CameraPlan(id="a", password="hush"))


def test_the_label_is_what_the_font_can_write() -> None:
    assert CameraPlan(id="gate", name="人行出口").label == "gate"
    assert CameraPlan(id="gate", name="North gate").label == "North gate"
    assert CameraPlan(id="gate").label == "gate"
    assert CameraPlan(id="gate").serial == "DEMO-gate"
