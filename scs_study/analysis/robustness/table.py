"""PGD's accuracy, the worst of all attacks', and the signs of masked gradients side by side: Markdown, CSV, LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scs_study.analysis.robustness.results import AttackResult
from scs_study.analysis.statistics import wilson
from scs_study.analysis.table_writer import write_table
from scs_study.analysis.variants import label, spans
from scs_study.evaluation.robustness.masking import MUCH_ZERO, Verdict
from scs_study.evaluation.robustness.settings import LONGER, WORDS, Robustness

NOT_YET = "–"


def robustness_table(
    runs: Sequence[AttackResult], settings: Robustness, extra: Sequence[str], folder: Path, name: str
) -> tuple[Path, ...]:
    """Return the paths of <name>.md, .csv and .tex in `folder`: a row for each run and radius of additional attacks.

    extra: identity keys that tell the variants apart beyond the usual ones.
    """
    rows = [(run, each) for run in runs for each in run.verdicts(settings)]
    words = caption(runs, settings)
    checks = list(settings.checks)
    heads = ["architecture", "variant", "seed", "eps", "clean %", "PGD %", *(WORDS[c] for c in checks)]
    heads += ["worst %", "no gradient %", "flag"]
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
            NOT_YET if each.zero is None else f"{100 * each.zero / each.images:.1f}",
            ", ".join(each.flags) or ("" if each.complete else NOT_YET),
        ]
        for run, each in rows
    ]
    align = f"ll{'r' * (len(heads) - 3)}l"
    return write_table(folder, name, words, (heads, cells), _machines(rows, checks), latex=align, gap="2pt")


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
        further.append(f"APGD with {settings.apgd_steps} steps (APGD-T: for each of nine classes)")
    if "square" in settings.checks:
        further.append(f"Square with {settings.square_queries} queries and no gradient")
    if "transfer" in settings.checks:
        further.append(
            "PGD images made for another network (convolution for SCS and SharpenedSDP, SCS for convolution)"
        )
    return (
        f"Robustness of networks trained on {data} for {epochs} epoch{'' if epochs == '1' else 's'}, on {images} test"
        f" images, all classes in turn. {settings.words()}. Each further attack visits what PGD left and its column is"
        f" what it found there, in points of all images: {'; '.join(further) or 'none'}. Worst: right after all"
        f" attacks. In brackets 95 % Wilson intervals over the images. No gradient: images whose loss has a gradient of"
        f" exactly zero. Flag: what found more than {100 * settings.margin:g} points beyond PGD (APGD, which chooses"
        f" its steps: PGD is too weak here; PGD 10x, Square or transfer: its gradients mislead it), or more than"
        f" {100 * MUCH_ZERO:g} % of the images have no gradient. PGD's accuracy is no evidence of robustness there."
    )


def _interval(count: int, images: int) -> str:
    low, high = wilson(count, images)
    return f"{100 * count / images:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def _gain(each: Verdict, check: str) -> str:
    found = each.found.get(check)
    return NOT_YET if found is None else f"-{100 * found / each.images:.1f}" if found else "0"


def _machines(
    rows: Sequence[tuple[AttackResult, Verdict]], checks: Sequence[str]
) -> tuple[Sequence[str], Sequence[Sequence[object]]]:
    heads = ["run", "eps", "images", "clean", "pgd", "pgd_low", "pgd_high", *checks, "worst", "worst_low", "worst_high"]
    heads += ["zero_gradient", "flag", "transfer_from", "pgd_gradients_per_second"]
    values = []
    for run, each in rows:
        worst = (each.worst, *wilson(each.worst, each.images)) if each.complete else (None, None, None)
        counts = [each.found.get(check) for check in checks]
        flags = "; ".join(each.flags)
        row = [run.row["run"], each.eps, each.images, each.clean, each.pgd, *wilson(each.pgd, each.images), *counts]
        values.append([*row, *worst, each.zero, flags, run.source, round(run.speed, 1)])
    return heads, values
