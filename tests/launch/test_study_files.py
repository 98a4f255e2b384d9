"""A study is a few lines in a file, and a file that is broken is refused in one line that names it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from scs_study.command import run_command
from scs_study.config import groups as composing
from scs_study.experiments.compose import CONF, load_option, options
from scs_study.experiments.grid import load_study, plan, study_of


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project's conf/, to write into."""
    shutil.copytree(CONF, tmp_path / "conf")
    monkeypatch.setattr("scs_study.config.groups.CONF", tmp_path / "conf")
    monkeypatch.setattr("scs_study.command.CONF", tmp_path / "conf")
    return tmp_path / "conf"


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a command ends in, before anything runs."""
    monkeypatch.setattr(sys, "argv", ["replicate.py", *arguments])
    with pytest.raises(SystemExit) as exit_:
        run_command(lambda config: plan_of(config.study) and 0, "replicate")  # type: ignore[func-returns-value]
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error.removeprefix("error: ")


def plan_of(study: object) -> None:
    plan(study_of("mine", study))  # type: ignore[arg-type]


BROKEN = {
    "a tab": (b"title: x\naxes:\n\tlayer: [conv]\n", "{file}, line 3: found character '\\t' that"),
    "Latin-1": ("title: ok\n# caf\xe9\n".encode("latin-1"), "{file}, line 2: is not UTF-8 text"),
    "UTF-16": ("title: ok\n".encode("utf-16"), "{file}, line 1: is not UTF-8 text"),
    "a colon too many": (b"title: a: b\n", "{file}, line 1: mapping values are not allowed here"),
    "a bracket too few": (b"axes: {layer: [conv, scs}\n", "{file}, line 1: "),
    "a key twice": (b"seeds: [0]\nseeds: [1]\n", "{file}, line 2: found duplicate key seeds"),
    "a value within itself": (b"axes: &a [*a]\n", "{file}: a value is part of itself"),
    "a zero byte": (b"title: x\0\n", "{file}: unacceptable character"),
    "a list": (b"- layer\n", "{file}: must be settings"),
    "a word": (b"layer\n", "conf/study/mine.yaml: key=layer: not known"),
    "nothing": (b"", "conf/study/mine.yaml: needs axes"),
    "no axes": (b"title: x\nseeds: [1]\n", "conf/study/mine.yaml: needs axes"),
    "an unknown key": (b"axes: {layer: [conv]}\nseed: [1]\n", "conf/study/mine.yaml: key=seed: not known (did"),
    "a name that nothing has": (b"title: ${foo}\naxes: {layer: [conv]}\n", "{file}: Interpolation key 'foo' not found"),
    "itself": (b"include: [mine]\n", "conf/study/mine.yaml: a study includes itself (mine -> mine)"),
    "itself by another": (b"include: [other]\n", "conf/study/other.yaml: a study includes itself (mine -> other"),
    "a study that is not there": (b"include: [qick]\n", "conf/study/mine.yaml: include: study=qick: not known"),
    "something that is no study": (b"include: [[a]]\n", "conf/study/mine.yaml: include: study=['a']: not known"),
    "excluded without axes": (b"include: [quick]\nexclude: [{layer: conv}]\n", "conf/study/mine.yaml: exclude="),
}  # fmt: skip


@pytest.mark.parametrize(("content", "sentence"), BROKEN.values(), ids=BROKEN)
def test_a_broken_study_file_gets_one_line_that_names_it(
    content: bytes, sentence: str, conf: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = conf / "study" / "mine.yaml"
    file.write_bytes(content)
    (conf / "study" / "other.yaml").write_text("include: [mine]\n")
    assert refused(monkeypatch, capsys, "study=mine").startswith(sentence.format(file=file))


@pytest.mark.parametrize("group", ["layer", "attack", "train"])
def test_so_does_a_broken_file_of_any_group(
    group: str, conf: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (conf / group / "mine.yaml").write_text("a:\n\tb: 1\n")
    assert refused(monkeypatch, capsys, f"{group}=mine").startswith(f"{conf / group}/mine.yaml, line 2: found")
    assert refused(monkeypatch, capsys, "train.epcohs=1").startswith("train.epcohs: no such setting"), (
        "it was not chosen"
    )


def test_so_does_what_is_chosen_by_default(
    conf: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (conf / "arch" / "rohrer25k.yaml").write_bytes(b"name: \xff\n")
    assert refused(monkeypatch, capsys).startswith(f"{conf}/arch/rohrer25k.yaml, line 1: is not UTF-8 text")
    (conf / "replicate.yaml").write_text("defaults: [\n")
    assert refused(monkeypatch, capsys).startswith(f"{conf}/replicate.yaml, line 2: ")


def test_a_file_that_hydra_would_not_find_is_told_what_to_be_called(
    conf: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (conf / "study" / "mine.yml").write_text("axes: {layer: [conv]}\n")
    for name in ("mine", "mine.yml"):
        assert refused(monkeypatch, capsys, f"study={name}") == (
            f"study={name}: rename {conf}/study/mine.yml to mine.yaml, which is what is read\n"
        )


def test_files_of_other_systems_are_no_choices(conf: Path) -> None:
    before = options("study")
    (conf / "study" / "._quick.yaml").write_bytes(b"\0\5\x16\7")
    (conf / "__MACOSX").mkdir()
    (conf / ".ipynb_checkpoints").mkdir()
    assert options("study") == before
    assert composing.groups() == sorted(path.name for path in CONF.iterdir() if path.is_dir())


MINIMAL = """\
title: My study
base: {data: digits}
axes: {layer: [conv, scs]}
seeds: [3]
"""


def test_four_lines_make_a_study(conf: Path) -> None:
    (conf / "study" / "mine.yaml").write_text(MINIMAL)
    with initialize_config_dir(str(conf), version_base="1.3"):
        plainly = compose("replicate", ["study=mine"]).study
        changed = compose("replicate", ["study=mine", "study.seeds=[0,1]", "study.analyses=[saliency]"]).study
    study = load_study("mine")
    assert study == study_of("mine", plainly)
    assert (study.title, study.include, study.exclude, study.analyses, study.paper) == ("My study", (), (), (), None)
    assert [(cell.layer.name, cell.seed) for cell in plan(study)] == [("conv", 3), ("scs", 3)]
    assert study_of("mine", changed).seeds == (0, 1)
    assert study_of("mine", changed).analyses == ("saliency",)


@pytest.mark.parametrize("line", ["axes: {layer: [conv]}\n", "axes: {layer: [conv]}\nset:\nseeds:\nexclude:\nbase:\n"])
def test_axes_alone_make_one_and_so_does_a_key_that_is_left_empty(line: str, conf: Path) -> None:
    (conf / "study" / "mine.yaml").write_text("\ufeff" + line)
    assert [(cell.layer.name, cell.seed) for cell in plan(load_study("mine"))] == [("conv", 0)]
    assert load_study("mine").title == "mine"


def test_two_studies_may_include_the_same_one(conf: Path) -> None:
    (conf / "study" / "one.yaml").write_text("include: [quick]\n")
    (conf / "study" / "mine.yaml").write_text("include: [one, quick]\n")
    assert len(plan(load_study("mine"))) == 20


def test_what_the_shipped_studies_are_is_what_their_files_say() -> None:
    for name in options("study"):
        said = load_option("study", name)
        assert load_study(name).seeds == tuple(said.get("seeds", [0]))
