"""`make claims` from a folder of runs to tables, and one sentence for a wrong command."""

import subprocess
from pathlib import Path

import pytest

from tests.analysis.run_folders import cell, write_run
from tests.support import commands


def claims(*arguments: str) -> subprocess.CompletedProcess[str]:
    return commands.run("claims.py", *arguments)


@pytest.mark.slow
def test_published_records_of_several_studies_decide_what_needs_no_schedule(tmp_path: Path) -> None:
    """29 stands on the second study's runs, 13 on runs of neither."""
    runs = tmp_path / "runs"
    write_run(runs, cell(), [0.5] * 3)
    records = [f"results/{name}/records.jsonl.gz" for name in ("table2_1ep", "resnet18_sdp_1ep", "weight_norms_1ep")]
    found = claims(
        *(f"runs={runs}", f"results={tmp_path}", f"folders=[{','.join(records)}]", "only=[3,7,8,13,29]"),
        *("study=table2", "also=[resnet18_sdp,table2]", "train.epochs=1", "seed=0"),
    )
    assert found.returncode == 0, found.stderr
    words = {int(line[:3]): line[5:31].strip() for line in found.stdout.splitlines()[:5]}
    assert words[3].startswith("preliminary")
    assert words[29].startswith("preliminary")
    assert words[8] in {"supported", "not supported", "undecided"}  # the benchmark's: whatever it says, it is decided
    assert {claim: words[claim] for claim in (7, 13)} == {7: "supported", 13: "no runs yet"}
    (tables,) = tmp_path.glob("table2-*+resnet18_sdp-*/tables")
    assert {path.name for path in tables.iterdir()} == {
        "claims.md",
        "claims.csv",
        "claims-comparisons.md",
        "claims-comparisons.csv",
    }


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["only=[99]"], "only=99: not known"),
        (["study=table3", "also=[tabel4]"], "study=tabel4: not known (did you mean table"),
        (["also=[table4]"], "has no effect without study=..."),
        (["match=rohrer*", "also=[table4]"], "has no effect beside match"),
        (["study=table3", "also=[table4]", "study.seeds=2"], "study.seeds=2 is a setting of one study"),
        (["published=true", "study=table3"], "study has no effect beside published=true"),
    ],
)
def test_a_wrong_command_is_one_sentence(arguments: list[str], sentence: str, tmp_path: Path) -> None:
    refused = claims(*arguments, f"runs={tmp_path}", f"results={tmp_path}")
    assert refused.returncode == 2
    assert sentence in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
