"""Intervals and tests for claims about layers: the unit is the seed, pairs share it, n = 2 has no interval.

summary, paired    means and differences paired by seed; exact sign and sign-flip tests
bounded            intervals of a share that stay inside [0, 1] (logit scale, SD pooled over variants)
bootstrap          seeds, then the same images in both cells
hypotheses         p against a margin from one side, equivalence by two of them, Holm over a family, several of many
counts             Clopper-Pearson, Wilson, McNemar
trends             Mann-Kendall, and where a curve over p stops rising
simulation         how often all of this is right when the truth is known (docs/statistics.md)

What tables import is here; the rest is imported from its module, because scipy.stats takes a second to load.
"""

from scs_study.analysis.statistics.paired import MOST_SIGN_FLIPS, Paired, paired, permutation_test, sign_test
from scs_study.analysis.statistics.summary import LEVEL, Summary, summarise, wilson

__all__ = [
    "LEVEL",
    "MOST_SIGN_FLIPS",
    "Paired",
    "Summary",
    "paired",
    "permutation_test",
    "sign_test",
    "summarise",
    "wilson",
]
