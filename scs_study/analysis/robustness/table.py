"""PGD's accuracy, the worst of all attacks', and the signs of masked gradients side by side: Markdown, CSV, LaTeX."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from scs_study.analysis.paper import BASELINE
from scs_study.analysis.robustness.differences import Against, Measure, against, baseline, over_seeds
from scs_study.analysis.robustness.results import AttackResult
from scs_study.analysis.statistics import summarise, wilson
from scs_study.analysis.table_writer import write_table
from scs_study.analysis.variants import label, spans
from scs_study.evaluation.robustness.masking import MUCH_ZERO, Verdict
from scs_study.evaluation.robustness.settings import LONGER, WORDS, Robustness

NOT_YET = "–"
MEASURES: tuple[Measure, ...] = ("pgd", "worst")
SAID = {"pgd": "PGD", "worst": "worst of all attacks"}


def robustness_table(
    runs: Sequence[AttackResult], settings: Robustness, extra: Sequence[str], folder: Path, name: str
) -> tuple[Path, ...]:
    """Return the paths of <name>.md, .csv and .tex in `folder`: a row for each run and radius of additional attacks.

    runs: of the baseline too, since each is compared with the one of its seed. extra: identity keys that tell the
    variants apart beyond the usual ones.
    """
    rows = [(run, each) for run in runs for each in run.verdicts(settings)]
    words = caption(runs, settings)
    checks = list(settings.checks)
    heads = ["architecture", "variant", "seed", "eps", "clean %", "PGD %", *(WORDS[c] for c in checks)]
    heads += ["worst %", f"to {' + '.join(BASELINE)}", "no gradient %", "flag"]
    usual = [baseline(run, runs) for run, _ in rows]
    cells = [
        [
            run.row["architecture"],
            label(run.row, extra),
            str(run.row["seed"]),
            f"{each.eps:g}/255",
            f"{100 * each.clean / each.images:.1f}",
            _interval(each.pgd, each.images),
            *(_gain(each, check) for check in checks),
            _interval(each.worst, each.images) if each.complete else NOT_YET,
            _against(run, other, settings, each.eps),
            NOT_YET if each.zero is None else f"{100 * each.zero / each.images:.1f}",
            ", ".join(each.flags) or ("" if each.complete else NOT_YET),
        ]
        for (run, each), other in zip(rows, usual, strict=True)
    ]
    align = f"ll{'r' * (len(heads) - 3)}l"
    return write_table(folder, name, words, (heads, cells), _machines(rows, usual, settings), latex=align, gap="2pt")


def caption(runs: Sequence[AttackResult], settings: Robustness) -> str:
    """Return what the table shows, of what, and how: the recipe, the attacks, the images, the margin."""
    rows = [run.row for run in runs]
    data = " + ".join(sorted({row["data"] for row in rows}))
    epochs = spans(row["epochs"] for row in rows)
    images = min(settings.check_images or len(runs[0].pgd), len(runs[0].pgd))
    further = []
    if "pgd_long" in settings.checks:
        further.append(f"PGD with {LONGER} times the steps")
    if any(name.startswith("apgd") for name in settings.checks):
        dlr = f"; APGD-DLR {settings.apgd_restarts} times" if settings.apgd_restarts > 1 else ""
        further.append(f"APGD with {settings.apgd_steps} steps (APGD-T: for each of nine classes{dlr})")
    if "square" in settings.checks:
        further.append(f"Square with {settings.square_queries} queries and no gradient")
    if "transfer" in settings.checks:
        further.append(
            "PGD images made for another network (convolution for SCS and SharpenedSDP, SCS for convolution)"
        )
    if "smooth" in settings.checks:
        further.append(
            f"PGD with {LONGER} times the steps along the gradients that the sharpened layers would have at p = 1"
        )
    misled = "PGD 10x, Square, transfer or smooth" if "smooth" in settings.checks else "PGD 10x, Square or transfer"
    return (
        f"Robustness of networks trained on {data} for {epochs} epoch{'' if epochs == '1' else 's'}, on {images} test"
        f" images, all classes in turn. {settings.describe()}. Each further attack visits what PGD left and its column"
        f" is what it found there, in points of all images: {'; '.join(further) or 'none'}. Worst: right after all"
        f" attacks. In brackets 95 % Wilson intervals over the images. To {' + '.join(BASELINE)}: the difference of the"
        f" worst in points to that network of the same seed, paired image by image, with its 95 % interval over the"
        f" images, which says something of these two networks and nothing of their layers. No gradient: images whose"
        f" loss has a gradient of"
        f" exactly zero. Flag: what found more than {100 * settings.margin:g} points beyond PGD (APGD, which chooses"
        f" its steps: PGD is too weak here; {misled}: its gradients mislead it), or more than"
        f" {100 * MUCH_ZERO:g} % of the images have no gradient. PGD's accuracy is no evidence of robustness there."
    )


def _interval(count: int, images: int) -> str:
    low, high = wilson(count, images)
    return f"{100 * count / images:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def _gain(each: Verdict, check: str) -> str:
    found = each.found.get(check)
    return NOT_YET if found is None else f"-{100 * found / each.images:.1f}" if found else "0"


def _against(run: AttackResult, other: AttackResult | None, settings: Robustness, eps: float) -> str:
    if other is None or other is run:
        return ""
    found = against(run, other, settings, eps, "worst")
    return NOT_YET if found is None else points(found)


def points(found: Against) -> str:
    """Return a difference with its interval: "+1.5 [0.2, 2.8]"."""
    words = f"{found.mean:+.1f}"
    return words if math.isnan(found.low) else f"{words} [{found.low:.1f}, {found.high:.1f}]"


def _machines(
    rows: Sequence[tuple[AttackResult, Verdict]], usual: Sequence[AttackResult | None], settings: Robustness
) -> tuple[Sequence[str], Sequence[Sequence[object]]]:
    checks = settings.checks
    heads = ["run", "eps", "images", "clean", "pgd", "pgd_low", "pgd_high", *checks, "worst", "worst_low", "worst_high"]
    for name in MEASURES:
        heads += [f"{name}_to_baseline", f"{name}_to_baseline_low", f"{name}_to_baseline_high", f"{name}_mcnemar_p"]
    heads += ["zero_gradient", "flag", "transfer_from", "pgd_gradients_per_second"]
    values = []
    for (run, each), other in zip(rows, usual, strict=True):
        worst = (each.worst, *wilson(each.worst, each.images)) if each.complete else (None, None, None)
        counts = [each.found.get(check) for check in checks]
        flags = "; ".join(each.flags)
        row = [run.row["run"], each.eps, each.images, each.clean, each.pgd, *wilson(each.pgd, each.images), *counts]
        row += worst
        for name in MEASURES:
            found = None if other is None or other is run else against(run, other, settings, each.eps, name)
            row += [None] * 4 if found is None else [found.mean, found.low, found.high, found.p]
        values.append([*row, each.zero, flags, run.source, round(run.speed, 1)])
    return heads, values


def seeds_table(
    groups: Sequence[Sequence[AttackResult]], settings: Robustness, extra: Sequence[str], folder: Path, name: str
) -> tuple[Path, ...]:
    """Return the paths of <name>.md and .csv: a row for each variant and radius, its seeds together.

    groups: the attacked runs of each variant. extra: as of robustness_table. () where no variant has two seeds.
    """
    if all(len(group) < 2 for group in groups):
        return ()
    runs = [run for group in groups for run in group]
    both = [over_seeds(groups, settings, measure) for measure in MEASURES]
    heads = ["architecture", "variant", "eps", "measure", "mean %", "n", f"to {' + '.join(BASELINE)}"]
    cells, values = [], []
    for measure, found in zip(MEASURES, both, strict=True):
        for each in found:
            first, summary = each.rows[0], summarise(each.kept)
            mean = f"{summary.mean:.1f}" + (f" ± {summary.deviation:.1f}" if summary.n > 1 else "")
            words = points(each.against) if each.against else ""
            about = [first["architecture"], label(first, extra)]
            cells.append([*about, f"{each.eps:g}/255", SAID[measure], mean, summary.n, words])
            pair = each.against
            numbers = [None] * 4 if pair is None else [pair.mean, pair.low, pair.high, pair.n]
            seeds = " ".join(str(row["seed"]) for row in each.rows)
            values.append([*about, each.eps, measure, seeds, summary.mean, summary.deviation, *numbers])
    images = min(settings.check_images or len(runs[0].pgd), len(runs[0].pgd))
    words = (
        f"Robustness over seeds, {images} test images. Mean and standard deviation of the seeds. To"
        f" {' + '.join(BASELINE)}: the difference in points to that network, paired by seed and image; its 95 %"
        f" interval, from three seeds on, is the wider of the t interval and of a bootstrap of seeds and images."
    )
    machine = ["architecture", "variant", "eps", "measure", "seeds", "mean", "sd", "to_baseline", "to_baseline_low",
               "to_baseline_high", "pairs"]  # fmt: skip
    return write_table(folder, name, words, (heads, cells), (machine, values))
