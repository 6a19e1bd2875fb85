"""Verdicts: what was measured, held against limits and against the camera's own baseline. Core.

The order is that of the platforms' diagnosis: lost and black first, then what keeps a picture from
being judged further. What cannot be judged is unknown, never normal.

The limits were tuned on staged defects in one half of the real footage that we have; what they give
on the other half is reported by ``python -m tests.bench diagnose``. They come from no standard.
How stripes are measured and what counts as covered was mended once after that had been seen, by
what the first half showed; that a blown-out picture is not lost, that a scene of leaves can have
moved, and what a bare room can tell, after two more cameras had been judged, by what the first half
showed again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge.diagnose.baseline import Baseline
from edge.diagnose.defects import Defect, Outcome
from edge.diagnose.measures import Measures
from edge.diagnose.scene import Change, compare

Verdicts = Mapping[Defect, Outcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Grey levels and shares, as in :class:`Measures`."""

    plain_span: float = 5
    plain_share: float = 0.9
    black_mean: float = 6
    black_high: float = 10
    frozen_mean: float = 0.3
    frozen_most: float = 18
    clock_most: float = 36  # a running clock changes a tile by at least as much
    dark_high: float = 60
    dark_mean: float = 40
    bright_mean: float = 190
    white_share: float = 0.25
    white_mean: float = 150
    contrast_span: float = 45
    contrast_spread: float = 18
    noise: float = 8
    noise_times: float = 2.5
    stripes: float = 5
    stripes_times: float = 1.5
    mosaic: float = 0.025
    smear: float = 0.06
    complaints: int = 2  # a stream that begins amid references makes one or two
    acuity_share: float = 0.75
    cast: float = 0.25
    cast_alone: float = 0.6
    cast_ratio: float = 1.5
    colour: float = 6
    hidden: float = 0.12
    hidden_most: float = 0.5  # no scene that has moved, or stands, hides so much in one piece
    left: float = 0.3
    alike: float = 0.4
    scene_spread: float = 15  # greys of a scene that vary less tell nothing of where they stand
    kept: float = 0.5
    textured: float = 0.33  # in a bare room, who sits elsewhere has taken most edges along
    shift: float = 0.03
    shift_gain: float = 0.2
    shake: float = 0.3


LIMITS = Limits()


def judge(
    measures: Measures,
    baseline: Baseline | None,
    *,
    is_dark_room: bool = False,
    is_turning: bool = False,
    limits: Limits = LIMITS,
) -> dict[Defect, Outcome]:
    """The verdict on each kind of defect.

    Args:
        baseline: of the light that the picture was taken in; None or not yet usable: what needs
            one is unknown.
        is_dark_room: nobody leaves a light on where the camera stands: dark is no fault there.
        is_turning: the camera pans and tilts: it has no one scene to be held against.
    """
    if baseline is not None and not baseline.is_usable:
        baseline = None
    found = dict.fromkeys(Defect, Outcome.UNKNOWN)
    if measures.decoder_errors > limits.complaints:  # what it shows is not what was sent
        found[Defect.BROKEN] = Outcome.ABNORMAL
        return found
    is_plain = _is_plain(measures, limits)
    if is_plain and 12 < measures.mean <= limits.bright_mean:  # what is blown out is plain, too
        found[Defect.LOST] = Outcome.ABNORMAL
        return found
    found[Defect.LOST] = Outcome.NORMAL
    if measures.mean < limits.black_mean and measures.high < limits.black_high:
        found[Defect.BLACK] = Outcome.UNKNOWN if is_dark_room else Outcome.ABNORMAL
        return found
    found[Defect.BLACK] = Outcome.NORMAL
    if not is_plain:
        found[Defect.FROZEN] = _frozen(measures, baseline, limits)
    if measures.shake is not None:
        found[Defect.SHAKING] = _verdict(measures.shake > limits.shake)
    is_dark = measures.high < limits.dark_high and measures.mean < limits.dark_mean
    found[Defect.TOO_DARK] = Outcome.UNKNOWN if is_dark and is_dark_room else _verdict(is_dark)
    if is_dark:
        return found
    change = None
    if baseline is not None and not is_turning:
        change = compare(measures.scene, baseline.scene)
    if _is_bright(measures, baseline, limits):
        found[Defect.TOO_BRIGHT] = Outcome.ABNORMAL
        return found
    found[Defect.TOO_BRIGHT] = Outcome.NORMAL
    if _is_flat(measures, limits):
        # fog leaves the greys in their places, a cover does not
        is_covered = change is not None and change.alike < limits.alike
        found[Defect.COVERED] = _verdict(is_covered)
        found[Defect.LOW_CONTRAST] = _verdict(not is_covered)
        return found
    found[Defect.LOW_CONTRAST] = Outcome.NORMAL
    _judge_texture(measures, baseline, change, limits, found)
    return found


def _judge_texture(
    measures: Measures,
    baseline: Baseline | None,
    change: Change | None,
    limits: Limits,
    found: dict[Defect, Outcome],
) -> None:
    """What needs a picture that is bright and clear enough; what is found hides what follows."""
    broken = _verdict(_is_broken(measures, baseline, limits))
    striped = _striped(measures, baseline, limits)
    noise = max(limits.noise, limits.noise_times * baseline.noise if baseline else 0)
    for defect, verdict in (
        (Defect.BROKEN, broken),
        (Defect.STRIPED, striped),
        (Defect.NOISY, _verdict(measures.noise > noise)),
    ):
        found[defect] = verdict
        if verdict is Outcome.ABNORMAL:
            found[Defect.SHAKING] = Outcome.UNKNOWN
            return
    if baseline is None:
        found[Defect.COLOUR_CAST] = _cast(measures, None, limits)
        return
    if measures.acuity is not None and baseline.acuity is not None:
        is_blurred = measures.acuity < limits.acuity_share * baseline.acuity
        found[Defect.BLURRED] = _verdict(is_blurred)
        if is_blurred:
            found[Defect.COLOUR_CAST] = _cast(measures, baseline, limits)
            return
    is_covered = change is not None and _is_covered(change, limits)
    if change is not None:
        found[Defect.COVERED] = _verdict(is_covered)
    if is_covered:
        return
    found[Defect.COLOUR_CAST] = _cast(measures, baseline, limits)
    if found[Defect.COLOUR_CAST] is Outcome.ABNORMAL or change is None or change.kept is None:
        return
    if found[Defect.SHAKING] is not Outcome.ABNORMAL:
        has_other_edges = change.textured > limits.textured and change.kept < limits.kept
        is_moved = has_other_edges or _is_elsewhere(change, baseline, limits)
        found[Defect.MOVED] = _verdict(is_moved)


def _is_broken(measures: Measures, baseline: Baseline | None, limits: Limits) -> bool:
    mosaic = limits.mosaic + (baseline.mosaic_share if baseline else limits.mosaic)
    smear = limits.smear + (baseline.smear_share if baseline else limits.smear)
    return measures.mosaic_share > mosaic or measures.smear_share > smear


def _striped(measures: Measures, baseline: Baseline | None, limits: Limits) -> Outcome:
    """Blinds and railings are stripes, too: only the baseline tells them apart."""
    if baseline is None:
        return Outcome.UNKNOWN
    most = max(limits.stripes, limits.stripes_times * baseline.stripes)
    return _verdict(measures.stripes > most)


def _is_covered(change: Change, limits: Limits) -> bool:
    """A part has lost its edges and the rest shows what it did, or next to no edge is left."""
    if change.hidden > limits.hidden_most:
        return True
    if change.left < limits.left and change.alike < limits.alike:
        return True
    if change.kept_outside is None:  # nothing can be said of the rest
        return change.hidden > limits.hidden and change.left < limits.left
    return change.hidden > limits.hidden and change.kept_outside > limits.kept


def _is_elsewhere(change: Change, baseline: Baseline, limits: Limits) -> bool:
    """The picture has gone a way, or light and dark are not where they were: leaves have the same
    edges everywhere."""
    if change.shift > limits.shift and change.shift_gain > limits.shift_gain:
        return True
    is_telling = float(baseline.scene.grey.std()) > limits.scene_spread
    return is_telling and change.alike < limits.alike


def _verdict(is_abnormal: bool) -> Outcome:
    return Outcome.ABNORMAL if is_abnormal else Outcome.NORMAL


def _is_plain(measures: Measures, limits: Limits) -> bool:
    span = measures.high - measures.low
    return span < limits.plain_span and measures.plain_share > limits.plain_share


def _frozen(measures: Measures, baseline: Baseline | None, limits: Limits) -> Outcome:
    """Nothing has moved for a minute, not even a clock that always did. Without such a clock only
    a picture that is the same to the bit is: an empty room at night moves as little."""
    if measures.still_mean is None or measures.still_most is None:
        return Outcome.UNKNOWN
    if measures.still_mean < limits.frozen_mean and measures.still_most < limits.frozen_most:
        return Outcome.ABNORMAL
    if measures.still_most >= limits.frozen_most:
        return Outcome.NORMAL
    if baseline is None or baseline.still_most is None:
        return Outcome.UNKNOWN
    return Outcome.ABNORMAL if baseline.still_most > limits.clock_most else Outcome.UNKNOWN


def _is_bright(measures: Measures, baseline: Baseline | None, limits: Limits) -> bool:
    white = limits.white_share + (baseline.white_share if baseline else 0)
    return measures.mean > limits.bright_mean or (
        measures.white_share > white and measures.mean > limits.white_mean
    )


def _is_flat(measures: Measures, limits: Limits) -> bool:
    span = measures.high - measures.low
    return span < limits.contrast_span and measures.spread < limits.contrast_spread


def _cast(measures: Measures, baseline: Baseline | None, limits: Limits) -> Outcome:
    if measures.colour < limits.colour:
        return Outcome.UNKNOWN  # grey: there are no colours to judge
    if baseline is None:
        far = (measures.cast_red**2 + measures.cast_yellow**2) ** 0.5
        is_cast = far > limits.cast_alone and measures.cast_ratio > limits.cast_ratio
        return Outcome.ABNORMAL if is_cast else Outcome.UNKNOWN
    red = measures.cast_red - baseline.cast_red
    yellow = measures.cast_yellow - baseline.cast_yellow
    return _verdict((red**2 + yellow**2) ** 0.5 > limits.cast)


def outcome_of(verdicts: Verdicts) -> Outcome:
    """Of the whole check: one defect makes it abnormal; it is normal where nothing that was judged
    is wrong, and unknown where next to nothing could be judged."""
    values = list(verdicts.values())
    if Outcome.ABNORMAL in values:
        return Outcome.ABNORMAL
    return Outcome.NORMAL if values.count(Outcome.NORMAL) >= 6 else Outcome.UNKNOWN
