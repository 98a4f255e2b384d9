"""What the entry points in scripts/ share: one clear line for a wrong command, then Hydra."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from scs_study.config.command_line import CommandLine, help_text, read_command_line
from scs_study.config.free_text import quoted
from scs_study.config.groups import default_choices, load_option, own_folder, top_level, use_own_folder
from scs_study.config.overrides import check_files, check_override, override_values, parse_overrides
from scs_study.config.schema import FOLDER, CellConfig
from scs_study.experiments.applied import GROUPS, apply_settings
from scs_study.experiments.compose import cell_of, checkpoint_scheme, compose_cell
from scs_study.experiments.grid import Part, Study, cell_overrides, parts, study_of, united
from scs_study.system import files
from scs_study.system.console import guarded, say
from scs_study.system.places import CONF, below_project, user_path
from scs_study.training import run_dir as run_folder
from scs_study.training.stopping import Interrupted

if TYPE_CHECKING:
    from pandas import DataFrame

USAGE, FAILED, INTERRUPTED = 2, 1, 130


def run_command(
    task: Callable[[DictConfig], int | None],
    config: str,
    check: Callable[[list[str]], None] | None = None,
    flags: Mapping[str, str] | None = None,
) -> None:
    """Never returns: composes `config` with the command line, calls `task` and exits with what it returns.

    flags: other words for overrides, such as --wait for wait=true.
    Mistakes of the user (ValueError, wherever it comes from) end in one line and exit status 2, before anything runs
    where `check` can see them. What the file system refuses (OSError) ends in one line and 1, an interrupted run in
    130. A reader of the output that goes away ends nothing.
    """
    with guarded():
        try:
            _run(task, config, check, flags or {})
        except KeyboardInterrupt:  # before anything listens to signals, or a second time
            _exit(Interrupted("at once; the same command goes on from what is on disk"), INTERRUPTED)


def _run(
    task: Callable[[DictConfig], int | None],
    config: str,
    check: Callable[[list[str]], None] | None,
    flags: Mapping[str, str],
) -> NoReturn:
    sys.argv[1:] = [flags.get(argument, argument) for argument in sys.argv[1:]]
    line = read_command_line(sys.argv[1:])
    sys.argv[1:] = [quoted(argument, line.multirun) for argument in sys.argv[1:]]
    arguments = [quoted(argument, line.multirun) for argument in line.overrides]
    if (here := os.getcwd()) not in sys.path:
        sys.path.append(here)  # where a user's own modules may lie, as for python -m; pools hand it on
    try:
        _look_into_own_folder(line)
        if line.help:
            say(help_text(getattr(sys.modules.get("__main__"), "__doc__", None), config))
            sys.exit(0)
        overrides = parse_overrides(arguments)
        check_files(config, [override.key_or_group for override in overrides])
        for override in overrides:
            if override.is_sweep_override() and not line.multirun:
                raise ValueError(
                    f"{override.input_line}: one value is wanted here; for a grid add -m to scripts/train.py, "
                    f"for a study write its axes in conf/study"
                )
            check_override(override, config)
        _apply(config, overrides)
        if check is not None:
            check(arguments)
        if line.shown and not line.multirun:
            _check_shown(config, arguments)
    except ValueError as error:
        _exit(error, USAGE)
    code, home = 0, os.getpid()

    def job(values: DictConfig) -> None:
        nonlocal code
        try:
            status = task(values) or 0
            code = max(code, status)
        except ValueError as error:
            _exit(error, USAGE)
        except Interrupted as stopped:
            _exit(stopped, INTERRUPTED)
        except OSError as error:  # a folder one may not read or write in, a full disk
            _exit(_sentence(error), FAILED)
        if status and os.getpid() != home:
            # One of Hydra's launchers runs this elsewhere, and looks at no exit status.
            raise RuntimeError(
                "a run has failed: its sentence is in the job's output, its traceback in the run's folder"
            )

    os.environ["HYDRA_FULL_ERROR"] = "1"  # it hands its errors on, in place of printing several lines
    try:
        hydra.main(version_base="1.3", config_path=str(CONF), config_name=config)(job)()
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        sentence = (str(error).splitlines() or [type(error).__name__])[0]
        if known := re.fullmatch(r"Could not override '(\w+)\.(\w+)'\.", sentence):
            sentence = f"{known[1]}.{known[2]}: the chosen {known[1]} has no such setting, another one has"
        _exit(ValueError(sentence), USAGE)
    except OSError as error:
        _exit(_sentence(error), FAILED)
    sys.exit(code)


def _look_into_own_folder(line: CommandLine) -> None:
    """Choices of the user's own are looked for in --config-dir, or where the environment says."""
    if line.config_dir is not None:
        use_own_folder(line.config_dir)
    elif (folder := own_folder()) is not None:
        use_own_folder(folder)
        sys.argv += ["--config-dir", str(folder)]


def _apply(config: str, overrides: Sequence[Override]) -> None:
    """Let Hydra compose what the chosen studies and sweeps set."""
    top = top_level(config)
    given = {override.key_or_group: override for override in overrides}
    for group in GROUPS:
        if group in top:
            names = override_values(given[group]) if group in given else [top[group]]
            for name in names:
                apply_settings(group, str(name), given.keys())


def _check_shown(config: str, arguments: Sequence[str]) -> None:
    """Do nothing where what --cfg prints would run. Raises ValueError in one sentence for a wrong value."""
    folder = own_folder()
    where = QuotedString(f"file://{folder}", Quote.single).with_quotes()
    own = [] if folder is None else [f"hydra.searchpath=[{where}]"]
    try:
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            values = hydra.compose(config, [*arguments, *own], return_hydra_config=True)
    except (HydraException, OmegaConfBaseException):
        return  # Hydra says it in a moment
    values.hydra.job.num = 0
    values.hydra.runtime.output_dir = "."
    HydraConfig.instance().set_config(values)
    # Imported here: torch takes seconds.
    from scs_study.evaluation.fidelity.settings import fidelity_of
    from scs_study.evaluation.robustness.settings import robustness_of
    from scs_study.evaluation.saliency.settings import saliency_of
    from scs_study.experiments.sweep.settings import sweep_of
    from scs_study.launch.registry import check_launch
    from scs_study.models import check_cell
    from scs_study.runs.context import run_context
    from scs_study.training.objectives.registry import check_objective

    with open_dict(values):
        del values["hydra"]
    for cell in chosen_study(values)[1] if "study" in values else () if "sweep" in values else [cell_of(values)]:
        check_cell(cell)
        check_objective(cell)
    if "sweep" in values:
        sweep_of(str(HydraConfig.get().runtime.choices["sweep"]), values.sweep, with_root(values))
    there = run_context(values)
    if "launch" in values:
        check_launch(values, there)
    for group, check in (("saliency", saliency_of), ("attack", robustness_of), ("fidelity", fidelity_of)):
        if group in values:
            check(values[group])


def task_overrides() -> list[str]:
    """Return the overrides of the command line that are not Hydra's own."""
    return list(HydraConfig.get().overrides.task)


def chosen_study(config: DictConfig) -> tuple[Study, list[CellConfig]]:
    """Return the study that the command line chose and its cells, with the command line's overrides in them."""
    study, made_of = chosen_parts(config)
    return study, united(study, made_of)


def chosen_parts(config: DictConfig) -> tuple[Study, list[Part]]:
    """Return what `chosen_study` does, with the study's parts (grid.parts) for its cells."""
    study = study_of(str(HydraConfig.get().runtime.choices["study"]), config.study)
    return study, parts(study, with_root(config))


def with_root(config: DictConfig) -> dict[str, Any]:
    """Return the command line's overrides of cells (grid.cell_overrides), and where a folder's images are."""
    overrides = cell_overrides(task_overrides())
    return overrides if config.data.root is None else {**overrides, "data.root": str(config.data.root)}


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


def run_alone(name: str, config: DictConfig) -> int:
    """Compute and report the analysis `name` of the chosen runs; return the exit status: 0 when all could be read.

    Raises ValueError when no run matches.
    """
    from scs_study.analysis.registry import Subject, find_analysis, run_analysis
    from scs_study.runs.context import run_context
    from scs_study.training.process import prepare_process

    prepare_process()
    analysis, context = find_analysis(name), run_context(config)
    frame, folder = chosen_frame(config)
    subject = Subject(frame, context.runs, results_folder(config, folder), context, config)
    return FAILED if run_analysis(name, analysis, subject) else 0


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


def _sentence(error: OSError) -> OSError | str:
    return f"{error.filename}: {error.strerror}" if error.filename and error.strerror else error


def _exit(error: Exception | str, code: int) -> NoReturn:
    sentence = " ".join(line.strip() for line in str(error).splitlines())  # OmegaConf's are of several lines
    say(f"{'stopped' if code == INTERRUPTED else 'error'}: {sentence}", error=True)
    sys.exit(code)
