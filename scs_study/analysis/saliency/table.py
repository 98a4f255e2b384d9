"""The saliency tables: how concentrated maps are, whether they can be believed, and the paper's question answered."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

from scs_study.analysis.paper import BASELINE
from scs_study.analysis.saliency.answers import LEAST_SEEDS, Answer
from scs_study.analysis.saliency.compare import QUANTITIES, VariantNumbers, is_variant
from scs_study.analysis.saliency.estimates import Estimate
from scs_study.analysis.table_writer import write_table
from scs_study.analysis.variants import spans
from scs_study.evaluation.saliency.maps import describe
from scs_study.evaluation.saliency.measures import MEASURES
from scs_study.evaluation.saliency.settings import SaliencySettings

HEADS = {
    "gini": "Gini",
    "entropy": "entropy",
    "top_mass": "top mass",
    "total_variation": "TV",
    "deletion": "deletion",
    "insertion": "insertion",
    "deletion_gain": "deletion gain",
    "insertion_gain": "insertion gain",
}


def write_tables(
    found: Sequence[VariantNumbers],
    answered: Sequence[Answer],
    settings: SaliencySettings,
    title: str,
    notes: Sequence[str],
    folder: Path,
    name: str,
) -> tuple[Path, ...]:
    """Return the paths of three tables in `folder`, in three forms each: <name>, <name>-checks and <name>-answers.

    title: what the runs are, in words. notes: sentences below the first table (what was left out). Checks and answers
    are written only where there are some.
    """
    paths = [*_concentration(found, settings, title, notes, folder, name)]
    if any(v.values["deletion"].images or not math.isnan(v.correlation[1]) for v in found):
        paths += _checks(found, settings, title, folder, f"{name}-checks")
    if answered:
        paths += _answers(answered, settings, title, folder, f"{name}-answers")
    return tuple(paths)


def number(estimate: Estimate, digits: int = 3, sign: bool = False) -> str:
    """Return an estimate as readers see it, "+0.012 (0.010 to 0.014)"; empty where there is none."""
    if math.isnan(estimate.mean):
        return ""
    mean = f"{estimate.mean:{'+' if sign else ''}.{digits}f}"
    return f"{mean} ({estimate.low:.{digits}f} to {estimate.high:.{digits}f})"


def _concentration(
    found: Sequence[VariantNumbers],
    settings: SaliencySettings,
    title: str,
    notes: Sequence[str],
    folder: Path,
    name: str,
) -> tuple[Path, ...]:
    based = any(v.against for v in found)
    heads = ["variant", "seeds", "acc. %", "zero maps"]
    if broken := any(v.not_finite for v in found):
        heads.append("not finite")
    for key in MEASURES:
        heads += [HEADS[key], "less baseline"] if based else [HEADS[key]]
    rows = []
    for v in found:
        row: list[object] = [v.label, v.seeds, f"{100 * v.accuracy:.2f}", f"{v.zero} of {v.images}"]
        if broken:
            row.append(v.not_finite)
        for key in MEASURES:
            row.append(_mean(v.values[key]))
            if based:
                row.append(number(v.against[key], sign=True) if v.against else "baseline" if _baseline(v) else "")
        rows.append(row)
    caption = (
        f"How concentrated saliency maps are: {title}. {_kind(settings)}; {_images(found)}. Gini index: 0 for an even "
        f"map, 1 for a single pixel; entropy: as a share of the largest, 1 for an even map; top mass: the share of "
        f"the mass in the {100 * settings.top:g} % of the pixels that have most; TV: total variation divided by the "
        f"mass, more for a scattered map."
    )
    if based:
        caption += " Differences are to conv + relu + max on the same images, with 95 % bootstrap intervals over them."
    caution = "Intervals resample images: they speak of these networks, not of ones from other initial weights."
    machine = ["architecture", "layer", "activation", "pooling", "variant", "seeds", "final_accuracy", "images",
               "zero_maps", "not_finite_maps"]  # fmt: skip
    for key in QUANTITIES:
        machine += [key, f"{key}_low", f"{key}_high", f"{key}_images"]
        machine += [f"{key}_difference", f"{key}_difference_low", f"{key}_difference_high"]
    machine += ["correlation_head", "correlation_all", "unordered_share", "redrawn_gini"]
    csv = [_record(v) for v in found]
    all_notes = [*notes, caution]
    return write_table(folder, name, caption, (heads, rows), (machine, csv), all_notes, latex=_align(heads))


def _record(v: VariantNumbers) -> list[object]:
    row: list[object] = [v.row[key] for key in ("architecture", "layer", "activation", "pooling")]
    row += [v.label, v.seeds, v.accuracy, v.images, v.zero, v.not_finite]
    for key in QUANTITIES:
        own = v.values[key]
        row += [*map(_known, (own.mean, own.low, own.high)), own.images]
        difference = v.against[key] if v.against else Estimate(math.nan, math.nan, math.nan, 0)
        row += map(_known, (difference.mean, difference.low, difference.high))
    return [*row, *map(_known, (*v.correlation, v.unordered, v.randomised_gini))]


def _checks(
    found: Sequence[VariantNumbers], settings: SaliencySettings, title: str, folder: Path, name: str
) -> tuple[Path, ...]:
    gains = ("deletion", "insertion", "deletion_gain", "insertion_gain")
    heads = [
        "variant",
        *(HEADS[key] for key in gains),
        "head randomised",
        "all randomised",
        "no order left",
        "Gini randomised",
    ]
    rows = [
        [
            v.label,
            *(_mean(v.values[key]) for key in gains[:2]),
            *(number(v.values[key], sign=True) for key in gains[2:]),
            *(_plain(value, 2) for value in v.correlation),
            _plain(100 * v.unordered, 0, " %"),
            _plain(v.randomised_gini, 3),
        ]
        for v in found
    ]
    count = max(v.values["deletion"].images for v in found)
    caption = (
        f"Whether saliency maps can be believed: {title}. {_kind(settings)}. Areas under deletion and insertion curves "
        f"({count} images, {settings.points} steps; probability of the class) and what a map's order gains over a "
        f"random one: 0 means that the map knows nothing. Rank correlation with the map of the trained network after "
        f"its head, and after all its layers, were drawn anew ({settings.randomised} images): a map that stays alike "
        f"does not depend on what was learnt (the border reaches fewer kernels whatever they are, so 0 is not to be "
        f"had). Gini randomised: of the maps when all layers are, which is what the architecture does without learning."
    )
    fields = [field.name for field in dataclasses.fields(Estimate)]
    machine = ["variant", *(f"{key}_{field}" for key in gains for field in fields), "correlation_head",
               "correlation_all", "unordered_share", "redrawn_gini"]  # fmt: skip
    csv = [
        [v.label, *(_known(value) for key in gains for value in dataclasses.astuple(v.values[key])),
         *map(_known, (*v.correlation, v.unordered, v.randomised_gini))]
        for v in found
    ]  # fmt: skip
    return write_table(folder, name, caption, (heads, rows), (machine, csv), latex=_align(heads))


def _answers(
    answered: Sequence[Answer], settings: SaliencySettings, title: str, folder: Path, name: str
) -> tuple[Path, ...]:
    heads = ["question", "first", "second", "difference", "answer"]
    rows: list[list[object]] = []
    csv: list[list[object]] = []
    for answer in answered:
        for pair in (answer.together, *answer.pairs):
            whole = pair is answer.together
            words = answer.question if whole else pair.label
            numbers = [_plain(pair.first, 3), _plain(pair.second, 3), number(pair.difference, sign=True)]
            rows.append([words, *numbers, answer.verdict if whole else ""])
            values = [pair.first, pair.second, *dataclasses.astuple(pair.difference)]
            more = [*answer.interval, answer.seeds, answer.verdict] if whole else [None] * 4
            csv.append([answer.kind, answer.question, pair.label, *map(_known, values), *map(_known, more)])
    counts = sorted({answer.together.difference.images for answer in answered})
    caption = (
        f"What the paper says of saliency maps (4.4, 5.2), asked of these: {title}. {_kind(settings)}. First, does one "
        f"map resemble another: mean rank correlation of the pixels of an SCS map with those of SharpenedSDP's at the "
        f"same activation and pooling (first), and of a convolution's with ReLU at the same pooling (second). Then, "
        f"which is sparser: mean Gini index of the first and of the second. SCS and SharpenedSDP are compared where p "
        f"starts alike in both; where no pair has that, their difference answers nothing. Both on the same images; "
        f"differences with 95 % bootstrap intervals over {spans(counts)} images. Yes or no from {LEAST_SEEDS} seeds "
        f"on, where the interval of all pairs over seeds and images leaves out 0 and no single pair says the opposite."
    )
    machine = ["kind", "question", "pair", "first", "second", "mean", "low", "high", "images"]
    machine += ["low_over_seeds", "high_over_seeds", "seeds", "verdict"]
    return write_table(folder, name, caption, (heads, rows), (machine, csv), latex=_align(heads))


def _align(heads: Sequence[str]) -> str:
    return "l" + "r" * (len(heads) - 1)


def _kind(settings: SaliencySettings) -> str:
    return f"Maps: {describe(settings.maps)}, the largest absolute value over the channels"


def _images(found: Sequence[VariantNumbers]) -> str:
    counts = sorted({v.images // v.seeds for v in found})
    return f"{counts[0]} test images" + (" a network" if len(found) > 1 else "")


def _baseline(v: VariantNumbers) -> bool:
    return is_variant(v.row, BASELINE)


def _mean(estimate: Estimate) -> str:
    return _plain(estimate.mean, 3)


def _plain(value: float, digits: int, unit: str = "") -> str:
    return "" if math.isnan(value) else f"{value:.{digits}f}{unit}"


def _known(value: object) -> object:
    return None if isinstance(value, float) and math.isnan(value) else value
