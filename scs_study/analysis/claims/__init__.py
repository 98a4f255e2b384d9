"""Claim by claim, what holds: results/paper/claims.yaml read, held against runs, and decided (docs/claims.md).

schema      a claim as typed values, and every check of them
load        the YAML file as a ClaimFile
cells       the runs a claim asks for, found in a collected frame
metrics     what is measured of a run; images (saliency, attacks), speed (the benchmark), bits (identity)
rules       an estimate and a rule give a finding
decide      findings of all environments give a verdict: overall word, gate, Holm, choices the source leaves open
missing     what would decide it, and the command that produces that
table       the verdicts as a DataFrame, Markdown and CSV
"""
