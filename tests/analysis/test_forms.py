"""The golden table: a fixed study gives the same text to the byte, in every form."""

import csv
import io
import math
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from scs_study.analysis.collect import collect
from scs_study.analysis.forms import TERMINAL, to_csv, to_latex, to_markdown, to_text, write_study_table
from scs_study.analysis.paper import paper_table
from scs_study.analysis.table_writer import csv_text
from scs_study.analysis.tables import table
from tests.analysis.run_folders import cell, write_run

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("suffix", ["csv", "md", "tex", "txt"])
def test_the_golden_table_byte_for_byte(study, tmp_path, suffix):
    runs, plan = study
    made = table(collect(runs, plan), "table3")
    paths = [*write_study_table(made, tmp_path / "tables"), tmp_path / "table3.txt"]
    paths[-1].write_text(to_text(made), encoding="utf-8")
    (found,) = [path for path in paths if path.suffix == f".{suffix}"]
    assert found.read_bytes() == (GOLDEN / found.name).read_bytes(), f"if the change is meant, cp {found} {GOLDEN}/"


def test_the_order_in_which_runs_are_found_does_not_matter(study):
    runs, plan = study
    forwards, backwards = collect(runs, plan), collect(runs, dict(reversed(plan.items())))
    assert to_csv(table(forwards, "table3")) == to_csv(table(backwards, "table3"))


def test_csv_reads_back_with_twelve_digits(study):
    runs, plan = study
    found = table(collect(runs, plan), "table3")
    records = list(csv.DictReader(io.StringIO(to_csv(found))))
    assert len(records) == len(found.rows)
    for record, row in zip(records, found.rows, strict=True):
        for name, value in (("accuracy", row.accuracy.mean), ("train_ratio", row.times.train_ratio)):
            assert record[name] == "" if value != value else float(record[name]) == pytest.approx(value, rel=1e-11)
        if row.paper:
            assert float(record["paper_accuracy"]) == row.paper.accuracy


def test_two_processors_sums_are_one_number():
    """The last digits of a mean depend on the order in which a processor adds; those of a sheet must not."""
    sums = [5.357696791129014, 5.3576967911290145, np.float64(5.357696791129013), 5.35769679113]
    assert len({csv_text(["mean"], [[value]]) for value in sums}) == 1
    assert csv_text(["a", "b", "c", "d"], [[100.0, 1 / 3, math.nan, None]]) == "a,b,c,d\n100.0,0.333333333333,,\n"


def test_every_form_of_a_table_without_runs_shows_the_paper(tmp_path):
    empty = table(collect(tmp_path), "table1")
    for form in (to_csv, to_markdown, to_latex, to_text):
        text = form(empty)
        assert text.count("not run") >= len(paper_table("table1")) or "ours % not run" in text.replace("\\", "")


def test_every_form_of_nothing_at_all_is_still_a_table(tmp_path):
    nothing = table(collect(tmp_path))
    assert to_csv(nothing).startswith("architecture,layer")
    for form in (to_markdown, to_latex, to_text):
        assert "No runs." in form(nothing)


@pytest.mark.parametrize("name", ["table1", "table8"])
def test_text_fits_a_terminal(tmp_path, name):
    for seed in (0, 1):
        for number, row in enumerate(paper_table(name)):
            planned = cell(
                row.layer, row.activation, row.pooling, seed, arch=row.architecture, norm=row.norm,
                data__image_size=row.image_size, train__weight_decay=5e-4 * (number % 2), train__epochs=1 + number % 3,
            )  # fmt: skip
            write_run(tmp_path, planned, [0.5] * planned.train.epochs, device=f"some device of a long name {number}")
    text = to_text(table(collect(tmp_path), name))
    assert max(map(len, text.splitlines())) <= TERMINAL
    assert "Left out for want of width" in text


def test_markdown_cells_do_not_break_the_table(study):
    runs, plan = study
    lines = [line for line in to_markdown(table(collect(runs, plan), "table3")).splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_latex_compiles(study, tmp_path):
    runs, _plan = study
    write_run(runs, cell("scs", seed=5), [], state="failed", message='\\&%$#_{}~^<>|"*[] ünï — 東京 \\end{table}')
    tables = tmp_path / "tables"
    write_study_table(table(collect(runs), "table3"), tables, "any_name")
    (tables / "document.tex").write_text(
        "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\\input{any_name.tex}\\end{document}"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "document.tex"]
    done = subprocess.run(command, cwd=tables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
