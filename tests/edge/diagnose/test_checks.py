"""Each staged defect is told from the undamaged picture, through writer, segments and decoder."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge.diagnose.baseline import USABLE, Baseline, Light, learn, light_of
from edge.diagnose.checks import judge, outcome_of
from edge.diagnose.defects import Defect, Outcome
from edge.diagnose.measures import Measures
from edge.diagnose.scene import TEXTURED
from tests.edge.diagnose.looks import Stage, measures_of, record
from tests.edge.diagnose.store import Footage

#: Defects that need a baseline to be seen at all.
LEARNT = {Defect.STRIPED, Defect.COVERED, Defect.BLURRED, Defect.MOVED}


class Looks:
    def __init__(self, folder: pytest.TempPathFactory) -> None:
        footage = Footage(folder.mktemp("store"))
        days = [Stage(at=8 * n) for n in range(USABLE)]
        nights = [Stage(at=8 * n, is_night=True) for n in range(USABLE)]
        defects = [Stage(defect, at=4 + n) for n, defect in enumerate(Defect)]
        record(footage, *days, *nights, Stage(at=12), Stage(at=12, is_night=True), *defects)
        found = measures_of(footage)
        self.baselines: dict[Light, Baseline] = {}
        for measures in found[: 2 * USABLE]:
            assert outcome_of(judge(measures, None)) is not Outcome.ABNORMAL
            light = light_of(measures)
            self.baselines[light] = learn(self.baselines.get(light), measures)
        self.day, self.night = found[2 * USABLE : 2 * USABLE + 2]
        self.staged = dict(zip(Defect, found[2 * USABLE + 2 :], strict=True))

    def judge(self, measures: Measures) -> dict[Defect, Outcome]:
        return judge(measures, self.baselines.get(light_of(measures)))


@pytest.fixture(scope="module")
def looks(tmp_path_factory: pytest.TempPathFactory) -> Looks:
    return Looks(tmp_path_factory)


@pytest.mark.parametrize("defect", Defect)
def test_a_staged_defect_is_found(looks: Looks, defect: Defect) -> None:
    verdicts = looks.judge(looks.staged[defect])
    assert verdicts[defect] is Outcome.ABNORMAL
    assert outcome_of(verdicts) is Outcome.ABNORMAL


def test_an_undamaged_picture_is_normal_by_day_and_by_night(looks: Looks) -> None:
    assert set(looks.baselines) == {Light.DAY, Light.NIGHT}
    by_day, by_night = looks.judge(looks.day), looks.judge(looks.night)
    assert set(by_day.values()) == {Outcome.NORMAL}
    assert by_night.pop(Defect.COLOUR_CAST) is Outcome.UNKNOWN  # there are no colours
    assert set(by_night.values()) == {Outcome.NORMAL}


@pytest.mark.parametrize("defect", sorted(LEARNT))
def test_without_a_baseline_it_is_unknown_not_normal(looks: Looks, defect: Defect) -> None:
    light = light_of(looks.staged[defect])
    young = replace(looks.baselines[light], count=USABLE - 1)
    for baseline in (None, young):
        assert judge(looks.staged[defect], baseline)[defect] is Outcome.UNKNOWN


def test_a_dark_room_is_no_fault(looks: Looks) -> None:
    for defect in (Defect.BLACK, Defect.TOO_DARK):
        verdicts = judge(looks.staged[defect], None, is_dark_room=True)
        assert verdicts[defect] is Outcome.UNKNOWN
        assert outcome_of(verdicts) is Outcome.UNKNOWN


def test_a_still_room_without_a_clock_is_not_called_frozen(looks: Looks) -> None:
    """Its picture differs by the coder's whims only, if there is no clock that always ran."""
    light = light_of(looks.day)
    still = replace(looks.day, still_mean=1.5, still_most=9.0)
    known = looks.baselines[light]
    assert judge(still, known)[Defect.FROZEN] is Outcome.ABNORMAL
    clockless = replace(known, still_most=8.0)
    assert judge(still, clockless)[Defect.FROZEN] is Outcome.UNKNOWN
    exact = replace(still, still_mean=0.0, still_most=0.0)
    assert judge(exact, clockless)[Defect.FROZEN] is Outcome.ABNORMAL
    alone = replace(still, still_mean=None, still_most=None)
    assert judge(alone, known)[Defect.FROZEN] is Outcome.UNKNOWN


def test_real_stripes_in_the_scene_are_learnt(looks: Looks) -> None:
    striped = looks.staged[Defect.STRIPED]
    known = replace(looks.baselines[light_of(striped)], stripes=striped.stripes)
    assert judge(striped, known)[Defect.STRIPED] is Outcome.NORMAL


def test_a_picture_that_is_white_all_over_is_too_bright(looks: Looks) -> None:
    """Not lost, nor frozen, though there is nothing left to move."""
    plain = replace(looks.staged[Defect.LOST], still_mean=0.0, still_most=0.0)
    white = replace(plain, mean=251.0, low=250.0, high=253.0, colour=0.0)
    verdicts = looks.judge(white)
    found = {defect for defect in Defect if verdicts[defect] is Outcome.ABNORMAL}
    assert found == {Defect.TOO_BRIGHT}


def test_a_scene_of_leaves_that_is_turned_about_has_moved(looks: Looks) -> None:
    """Its edges are the same everywhere: light and dark are elsewhere."""
    scene = looks.day.scene
    turned = replace(looks.day, scene=replace(scene, grey=scene.grey[::-1, ::-1]))
    assert looks.judge(turned)[Defect.MOVED] is Outcome.ABNORMAL
    known = looks.baselines[Light.DAY]
    flat = replace(known.scene, grey=known.scene.grey * 0.1 + 100)
    assert judge(turned, replace(known, scene=flat))[Defect.MOVED] is Outcome.NORMAL


def test_in_a_bare_room_who_sits_elsewhere_has_not_moved_the_camera(looks: Looks) -> None:
    known = looks.baselines[Light.DAY]
    other = replace(looks.day.scene, directions=looks.day.scene.directions[:, :, ::-1])
    elsewhere = replace(looks.day, scene=other)
    assert judge(elsewhere, known)[Defect.MOVED] is Outcome.ABNORMAL
    bare = known.scene.edges.copy()
    bare[:, 4:] = 0.5
    assert 20 <= (bare > TEXTURED).sum() < bare.size / 3
    room = replace(known, scene=replace(known.scene, edges=bare))
    assert judge(elsewhere, room)[Defect.MOVED] is Outcome.NORMAL


def test_what_hides_most_is_a_cover_whatever_the_rest_shows(looks: Looks) -> None:
    scene = looks.day.scene
    edges, grey = scene.edges.copy(), scene.grey.copy()
    edges[:, :11], grey[:, :11] = 0, 20
    edges[:, 11:] *= 3
    hidden = replace(scene, edges=edges, grey=grey, directions=scene.directions[:, :, ::-1])
    verdicts = looks.judge(replace(looks.day, scene=hidden))
    assert verdicts[Defect.COVERED] is Outcome.ABNORMAL


def test_complaints_of_the_decoder_are_a_broken_picture(looks: Looks) -> None:
    torn = replace(looks.day, decoder_errors=5)
    assert looks.judge(torn)[Defect.BROKEN] is Outcome.ABNORMAL
    begun_amid_references = replace(looks.day, decoder_errors=1)
    assert looks.judge(begun_amid_references)[Defect.BROKEN] is Outcome.NORMAL


def test_a_camera_that_turns_has_no_one_scene(looks: Looks) -> None:
    for defect in (Defect.MOVED, Defect.COVERED):
        measures = looks.staged[defect]
        verdicts = judge(measures, looks.baselines[light_of(measures)], is_turning=True)
        assert verdicts[defect] is Outcome.UNKNOWN
    blurred = looks.staged[Defect.BLURRED]
    verdicts = judge(blurred, looks.baselines[light_of(blurred)], is_turning=True)
    assert verdicts[Defect.BLURRED] is Outcome.ABNORMAL
