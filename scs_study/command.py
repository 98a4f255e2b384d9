"""What the entry points in scripts/ share: one clear line for a wrong command, then Hydra.

Words are checked without torch, pandas and the like, whose import takes seconds: a command that needs them as soon as
it is imported calls `read_command` before, and runs what that returns.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from scs_study.config.command_line import CommandLine, flags_last, help_text, read_command_line
from scs_study.config.free_text import quoted
from scs_study.config.groups import own_folder, top_level, use_own_folder
from scs_study.config.overrides import check_files, check_override, override_values, parse_overrides
from scs_study.experiments.applied import GROUPS, apply_settings
from scs_study.experiments.compose import cell_of
from scs_study.selection import chosen_frame, chosen_study, chosen_sub_studies, results_folder, with_root
from scs_study.system.console import guarded, say
from scs_study.system.places import CONF, below_project
from scs_study.training.stopping import Interrupted

USAGE, FAILED, INTERRUPTED = 2, 1, 130

Task = Callable[[DictConfig], int | None]
Check = Callable[[list[str]], None]


def run_command(task: Task, config: str, check: Check | None = None, flags: Mapping[str, str] | None = None) -> None:
    """Never returns: composes `config` with the command line, calls `task` and exits with what it returns.

    The arguments are those of `read_command` and of `Command.run`.
    """
    read_command(config, flags).run(task, check)


def read_command(config: str, flags: Mapping[str, str] | None = None) -> Command:
    """Return the command line as a command of conf/`config`; a wrong word, or --help, ends the process here.

    flags: other words for overrides, such as --wait for wait=true.
    """
    with guarded(), _one_line():
        sys.argv[1:] = flags_last([(flags or {}).get(argument, argument) for argument in sys.argv[1:]])
        line = read_command_line(sys.argv[1:])
        sys.argv[1:] = [quoted(argument, line.multirun) for argument in sys.argv[1:]]
        if (here := os.getcwd()) not in sys.path:
            sys.path.append(here)  # where a user's own modules may lie, as for python -m; pools hand it on
        _look_into_own_folder(line)
        if line.help:
            say(help_text(getattr(sys.modules.get("__main__"), "__doc__", None), config))
            sys.exit(0)
        overrides = check_words(config, line.overrides, line.multirun)
        _apply(config, overrides)
        return Command(config, line)


def check_words(config: str, words: Sequence[str], multirun: bool = False) -> list[Override]:
    """Return a command line's overrides of conf/`config`. Raises ValueError for the first that it does not know."""
    overrides = parse_overrides([quoted(word, multirun) for word in words])
    check_files(config, [override.key_or_group for override in overrides])
    for override in overrides:
        if override.is_sweep_override() and not multirun:
            raise ValueError(
                f"{override.input_line}: one value is wanted here; for a grid add -m to scripts/train.py, "
                f"for a study write its axes in conf/study"
            )
        check_override(override, config)
    return overrides


@dataclass(frozen=True)
class Command:
    """A command line of conf/`config` whose words are right."""

    config: str
    line: CommandLine

    def run(self, task: Task, check: Check | None = None) -> NoReturn:
        """Compose the config, call `task` and exit with what it returns.

        Mistakes of the user (ValueError, wherever it comes from) end in one line and exit status 2, before anything
        runs where `check` can see them. What the file system refuses (OSError) ends in one line and 1, an interrupted
        run in 130. A reader of the output that goes away ends nothing.
        """
        with guarded(), _one_line():
            arguments = [quoted(word, self.line.multirun) for word in self.line.overrides]
            if check is not None:
                check(arguments)
            if self.line.shown and not self.line.multirun:
                _check_shown(self.config, arguments)
            sys.exit(_run(task, self.config))
        raise AssertionError("it has ended the process")


def run_program(main: Callable[[], int]) -> NoReturn:
    """Exit with what `main` of a program without Hydra returns, or in one line as `Command.run` does."""
    with guarded(), _one_line():
        sys.exit(main())
    raise AssertionError("it has ended the process")


def _run(task: Task, config: str) -> int:
    code, home = 0, os.getpid()

    def job(values: DictConfig) -> None:
        nonlocal code
        with _one_line():
            status = task(values) or 0
            code = max(code, status)
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
        raise ValueError(sentence) from error
    return code


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


def write_results(config: DictConfig, tables: bool = False, figures: bool = False) -> int:
    """Write and print the tables or the figures of the chosen study, or runs by name; return exit status 0.

    Raises ValueError when no run matches.
    """
    from scs_study.analysis.publish import publish_figures, publish_matching, publish_tables

    frame, name = chosen_frame(config)
    runs, folder = below_project(config.runs), results_folder(config, name)
    if config.match:
        say(publish_matching(frame, runs, folder, tables, figures))
        return 0
    _, subs = chosen_sub_studies(config)
    for wanted, publish in ((tables, publish_tables), (figures, publish_figures)):
        if wanted:
            say(publish(subs, frame, runs, folder))
    return 0


@contextlib.contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        _exit(error, USAGE)
    except Interrupted as stopped:
        _exit(stopped, INTERRUPTED)
    except KeyboardInterrupt:  # before anything listens to signals, or a second time
        _exit(Interrupted("at once; the same command goes on from what is on disk"), INTERRUPTED)
    except OSError as error:  # a folder one may not read or write in, a full disk
        _exit(f"{error.filename}: {error.strerror}" if error.filename and error.strerror else error, FAILED)


def _exit(error: Exception | str, code: int) -> NoReturn:
    sentence = " ".join(line.strip() for line in str(error).splitlines())  # OmegaConf's are of several lines
    say(f"{'stopped' if code == INTERRUPTED else 'error'}: {sentence}", error=True)
    sys.exit(code)
