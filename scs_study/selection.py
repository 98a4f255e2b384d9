"""What a command line selects: a study and its cells, or runs by their names, and the folder of their results."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from scs_study.config.groups import default_choices, load_option
from scs_study.config.overrides import parse_overrides
from scs_study.config.schema import FOLDER, CellConfig
from scs_study.experiments.compose import checkpoint_scheme, compose_cell
from scs_study.experiments.grid import Study, SubStudy, cell_overrides, load_study, merged, study_of, sub_studies
from scs_study.system import files
from scs_study.system.places import below_project, user_path
from scs_study.training import run_dir as run_folder

if TYPE_CHECKING:
    from pandas import DataFrame


def task_overrides() -> list[str]:
    """Return the overrides of the command line that are not Hydra's own."""
    return list(HydraConfig.get().overrides.task)


def chosen_study(config: DictConfig) -> tuple[Study, list[CellConfig]]:
    """Return the study that the command line chose and its cells, with the command line's overrides in them."""
    study, subs = chosen_sub_studies(config)
    return study, merged(study, subs)


def chosen_sub_studies(config: DictConfig) -> tuple[Study, list[SubStudy]]:
    """Return what `chosen_study` does, with the study's sub-studies (grid.sub_studies) for its cells."""
    study = study_of(str(HydraConfig.get().runtime.choices["study"]), config.study)
    return study, sub_studies(study, with_root(config))


def with_root(config: DictConfig) -> dict[str, Any]:
    """Return the command line's overrides of cells (grid.cell_overrides), and where a folder's images are."""
    overrides = cell_overrides(task_overrides())
    return overrides if config.data.root is None else {**overrides, "data.root": str(config.data.root)}


def names_studies() -> bool:
    """Return whether the command line names a study: without one some commands are about all runs."""
    return any(override.startswith("study=") for override in task_overrides())


def chosen_studies(config: DictConfig) -> list[tuple[str, Study, list[SubStudy]]]:
    """Return the study that the command line chose and those of `also`, each once: results' name, study, sub-studies.

    Raises ValueError for a study that is not there, and for settings of a study (study.seeds=2), which would be of the
    first alone.
    """
    study, subs = chosen_sub_studies(config)
    chosen = [(study, subs)]
    further = [str(name) for name in dict.fromkeys(config.also) if name != study.name]
    if further and (own := [each for each in task_overrides() if each.lstrip("+~").startswith("study.")]):
        raise ValueError(
            f"{own[0]} is a setting of one study, and these are {1 + len(further)}: write it in conf/study"
        )
    chosen += [(each, sub_studies(each, with_root(config))) for each in map(load_study, further)]
    return [(results_name(study), study, subs) for study, subs in chosen]


def name_of(studies: Sequence[tuple[str, Study, list[SubStudy]]]) -> str:
    """Return the name of the results folder of several studies together."""
    return files.shortened("+".join(name for name, _, _ in studies))


def matching_runs(config: DictConfig, places: Sequence[Path] = ()) -> tuple[list[str], str]:
    """(run names, name of the results folder) of the runs that `match` names, or else of the study's that have begun.

    places: folders of runs in which `match` looks for names, that of `runs` unless said.
    Raises ValueError when there are none.
    """
    runs = below_project(config.runs)
    if config.match:
        if others := [each for each in task_overrides() if cell_overrides([each]) or each.startswith("study.")]:
            raise ValueError(f"{others[0]} has no effect beside match={config.match}, which takes runs by their names")
        names = named_runs(places or [runs], str(config.match), "match")
        return names, "matched"
    study, cells = chosen_study(config)
    names = [cell.run_name for cell in cells if (runs / cell.run_name / run_folder.CONFIG).exists()]
    if not names:
        raise ValueError(f"none of the study's {len(cells)} runs has started in {runs}: replicate it first")
    return names, results_name(study)


def runs_by_name(config: DictConfig, places: Sequence[Path]) -> tuple[list[str], str]:
    """(run names, name of the results folder) of the runs that `match` names in any of the folders of runs.

    Raises ValueError when there are none, and for settings that have no effect beside it.
    """
    if config.also:
        raise ValueError(f"also={list(config.also)} has no effect beside match, which takes runs by their names")
    return matching_runs(config, places)


def chosen_frame(config: DictConfig) -> tuple[DataFrame, str]:
    """Return the collected runs that `match` names, or else the study's cells, and the name of the results folder.

    Raises ValueError as `matching_runs` and `chosen_study` do.
    """
    from scs_study.analysis.collect import collect  # pandas: seconds, for the commands that only look at a study
    from scs_study.analysis.publish import study_frame

    runs = below_project(config.runs)
    if config.match:
        names, name = matching_runs(config)
        return collect(runs, names), name
    study, cells = chosen_study(config)
    return study_frame(cells, runs), results_name(study)


def named_runs(places: Sequence[Path], pattern: str, key: str) -> list[str]:
    """Return the names of the runs that match a pattern given for `key`. Raises ValueError when there are none."""
    try:
        names = sorted({file.parent.name for place in places for file in place.glob(f"{pattern}/config.json")})
    except (NotImplementedError, ValueError):
        raise ValueError(f"{key}={pattern}: must be a pattern of run names, such as rohrer25k-*") from None
    if not names:
        raise ValueError(f"{key}={pattern}: no run in {', '.join(map(str, places))} has such a name")
    return names


def further_runs(config: DictConfig) -> list[Path]:
    """Return the folders of runs that `folders` names, records unpacked. Raises ValueError for a missing one."""
    from scs_study.runs.archive import unpacked  # which needs torch: seconds, for the commands that look at a study

    found = []
    for folder in config.folders:
        further = below_project(folder)
        if further.is_file():
            further = unpacked(further)
        if not further.is_dir():
            raise ValueError(f"folders: {folder}: there is no such folder, nor published records of that name")
        found.append(further)
    return found


def refuse_match(config: DictConfig) -> None:
    """Raise ValueError where `match` is given to a command that is for a study's cells."""
    if config.match:
        raise ValueError(
            f"match={config.match} has no effect here: this command takes a study, and the cells that its settings name"
        )


def results_name(study: Study) -> str:
    """Return the name of the study's results folder: its own, or with the overrides that make it another set of cells.

    What is published under a study's name is the study as conf/ says it, and a quick look does not overwrite it. Which
    analyses follow, and which cell is computed first, changes no cell.
    """
    changes = []
    # Of a setting that is given twice the last one holds, as for Hydra.
    last = {parse_overrides([argument])[0].key_or_group: argument for argument in task_overrides()}
    for argument in sorted(last.values()):
        key, given = parse_overrides([argument])[0].key_or_group, cell_overrides([argument])
        if path := given.get("init.checkpoint"):  # where a file lies makes no other cells
            given = {key: checkpoint_scheme(user_path(key, path))}
            argument = f"{key}={given[key]}"
        changed = any(name not in study.set or study.set[name] != value for name, value in given.items())
        if changed or (key.startswith("study.") and key not in ("study.analyses", "study.order")):
            changes.append(argument.lstrip("+"))
    if digest := _folder_digest(study):
        changes.append(f"data.root={digest}")
    words = [re.sub(r"[^A-Za-z0-9.,=_-]+", "_", change) for change in changes]
    return files.shortened("-".join([study.name, *words]))  # of any number of overrides


def _folder_digest(study: Study) -> str:
    """The beginning of the digest of a study's own images; "" where its images are known by their name."""
    given = cell_overrides(task_overrides())
    name = str(given.get("data", study.base.get("data", default_choices()["data"])))
    chosen = load_option("data", name)
    roots = [o.value() for o in parse_overrides(task_overrides()) if o.key_or_group == "data.root"]
    if chosen["name"] != FOLDER:
        return ""
    cell = compose_cell({"data": name}, {"data.root": str(roots[-1])} if roots else {}, 0)
    return str(cell.data.digest)[:8]


def results_folder(config: DictConfig, name: str) -> Path:
    """Return the folder results/`name`, which can be written to. Raises ValueError, before hours of work end without a
    table.

    It is not made: a folder for results that never come would be a riddle.
    """
    folder = below_project(config.results) / name
    files.check_path(f"results={config.results}", folder)
    try:
        there = next(path for path in (folder, *folder.parents) if path.exists())
        if not there.is_dir():
            raise ValueError(f"results={config.results}: {there} is not a folder")
        files.check_writable(there)
    except OSError as error:
        raise ValueError(f"results={config.results}: nothing can be written there: {error.strerror}") from error
    return folder
