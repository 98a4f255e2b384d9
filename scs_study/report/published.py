"""What holds by everything that is published: the verdicts of all records in results/ as tables and one figure.

`make claims ARGS=published=true` and `make publish` write them, and show the table in README.md; a test holds both to
the records.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from scs_study.analysis.claims.cells import Runs
from scs_study.analysis.claims.decide import NO_RUNS, Verdict, decide
from scs_study.analysis.claims.missing import usual_parts
from scs_study.analysis.claims.schema import ClaimFile
from scs_study.analysis.claims.spread import counts
from scs_study.analysis.claims.table import estimate_words, tally, write_claims
from scs_study.analysis.collect import collect
from scs_study.analysis.table_writer import markdown_text, write_forms
from scs_study.analysis.variants import spans
from scs_study.report.embed import embed
from scs_study.report.overview import overview
from scs_study.runs.archive import RECORDS, unpacked
from scs_study.system.places import PROJECT

NAME = "verdicts"
"""Of the short table and of the figure."""


def published_runs(results: Path) -> Runs:
    """Return the runs of all records that are published below a folder of results."""
    folders = [unpacked(archive) for archive in sorted(results.rglob(RECORDS))]
    return Runs({folder: collect(folder) for folder in folders})


def publish_verdicts(claims: ClaimFile, results: Path, benchmark: pd.DataFrame) -> tuple[list[Verdict], list[Path]]:
    """Return the verdicts of what is published in `results`, and the paths of all files that say them.

    Tables and a figure in results/claims; of this project's own results also the pages that show a table of results/.
    """
    verdicts = decide(claims, published_runs(results), benchmark)
    folder = results / "claims"
    paths = [*write_claims(verdicts, folder / "tables", claims.title)]
    paths += write_forms(folder / "tables", NAME, {".md": verdict_table(verdicts)})
    paths += overview(verdicts, folder / "figures", NAME)
    if results.resolve() == (PROJECT / "results").resolve():
        paths += embed([PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))], PROJECT)
    return verdicts, paths


def verdict_table(verdicts: Sequence[Verdict]) -> str:
    """Return the claims that something is known of as Markdown, decided ones first: a line each."""
    known = sorted((v for v in verdicts if v.word != NO_RUNS), key=lambda v: (not v.decided, v.claim.id))
    rows = [
        [
            v.claim.id,
            v.claim.sentence,
            v.word,
            estimate_words(v.mean, v.low, v.high, v.claim.tests[0]),
            v.claim.paper,
            by_comparison(v),
            stands_on(v),
        ]
        for v in known
    ]
    heads = ["", "claim", "verdict", "ours", "its source", "by comparison", "ours stands on"]
    return markdown_text([f"{len(verdicts)} claims: {tally(verdicts)}."], heads, rows)


def by_comparison(verdict: Verdict) -> str:
    """Return how many comparisons of a claim say what ("3 yes, 4 no"), "" where there is one alone."""
    found = [part.finding for part in usual_parts(verdict) if part.finding is not None]
    found += [ratio.finding(verdict.claim.tests[0].delta) for ratio in verdict.ratios]
    return counts(found) if len(found) > 1 else ""


def stands_on(verdict: Verdict) -> str:
    """Return what a verdict stands on in a few words: seeds, epochs of how many, cells; or the benchmark."""
    if verdict.ratios:
        return f"the benchmark, {len(verdict.ratios)} pair{'' if len(verdict.ratios) == 1 else 's'}"
    usual = [part for part in usual_parts(verdict) if part.test == verdict.claim.tests[0]]
    known = [part for part in usual if part.finding is not None]
    seeds, epochs = spans(len(part.seeds) for part in known), spans(part.epochs for part in known if part.epochs)
    full = spans(part.environment.full_epochs for part in usual)
    words = [f"{seeds} seed{'' if seeds == '1' else 's'}", f"{epochs} of {full} epochs"]
    return ", ".join([*words, f"{len(known)} of {len(usual)} pairs"] if len(usual) > 1 else words)
