"""A command line as Hydra has it, read before Hydra reads it; and the program's own help."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scs_study.config.groups import groups, options, top_level

_VALUED = (("--cfg", "-c"), ("--package", "-p"), ("--config-path", "-cp"), ("--config-name", "-cn"),
           ("--config-dir", "-cd"), ("--experimental-rerun",))  # fmt: skip
_SWITCHES = (("--help", "-h"), ("--multirun", "-m"), ("--run", "-r"), ("--hydra-help",), ("--version",), ("--resolve",),
             ("--shell-completion", "-sc"))  # fmt: skip
_INFO = ("--info", "-i")


@dataclass(frozen=True)
class CommandLine:
    """What the project has to know of a command line.

    overrides: the words that are no flags of Hydra's. shown: whether the config is only printed (--cfg). config_dir: a
    folder of the user's own config groups.
    """

    overrides: tuple[str, ...]
    multirun: bool
    shown: bool
    help: bool
    config_dir: Path | None


def flags_last(arguments: Sequence[str]) -> list[str]:
    """Return the words of a command line with its flags, and their values, after its overrides.

    Hydra's parser takes overrides from one place alone, and a flag between two of them would end it in its usage.
    """
    overrides: list[str] = []
    flags: list[str] = []
    valued = {name for names in _VALUED for name in names}
    left = list(arguments)
    while left:
        word = left.pop(0)
        if not word.startswith("-"):
            overrides.append(word)
            continue
        flags.append(word)
        if left and (word in valued or (word in _INFO and "=" not in left[0])):
            flags.append(left.pop(0))
    return [*overrides, *flags]


def read_command_line(arguments: Sequence[str]) -> CommandLine:
    """Return a command line's parts; whether its flags are right is Hydra's to say (its documented flags are known)."""
    parser = argparse.ArgumentParser(add_help=False)
    for names in _VALUED:
        parser.add_argument(*names)
    for names in _SWITCHES:
        parser.add_argument(*names, action="store_true")
    parser.add_argument(*_INFO, nargs="?", const="all")
    parser.add_argument("overrides", nargs="*")
    line, _ = parser.parse_known_args(list(arguments))
    folder = None if line.config_dir is None else Path(line.config_dir)
    return CommandLine(tuple(line.overrides), line.multirun, line.cfg is not None, line.help, folder)


def help_text(about: str | None, config: str) -> str:
    """Return a program's help: what it is about, its choices, its settings and where each is explained."""
    top, known = top_level(config), groups()
    choices = [f"  {name}={top[name]}: {', '.join(options(name))}" for name in known if name in top]
    settings = [f"  {name}={_written(value)}" for name, value in top.items() if name not in known]
    return "\n".join(
        [
            (about or "").strip(),
            "\nChoices, NAME=CHOICE (now; there are; conf/NAME/CHOICE.yaml says what each means and has):",
            *choices,
            f"\nSettings, NAME=VALUE (conf/{config}.yaml explains them), and NAME.KEY=VALUE for those of a choice:",
            *settings,
            "\n--cfg job prints what would run; --config-dir DIR adds choices of your own (docs/extending.md);"
            "\n-m runs a grid, NAME=A,B; --hydra-help lists Hydra's other flags.",
        ]
    )


def _written(value: object) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
