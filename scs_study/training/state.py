"""What a run trains: its networks, each with its optimizer and its schedule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from scs_study.config.schema import TrainConfig
from scs_study.layers.modules import Bound
from scs_study.models import layer_paths
from scs_study.training.optimizer import make_optimizer, make_scheduler


class Projected(Protocol):
    """A layer whose parameters are clamped after each optimizer step."""

    def project_(self) -> None: ...


@dataclass
class Phase:
    """A network that a step of training updates, and what updates it."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: LRScheduler

    def __post_init__(self) -> None:
        self.layers = layer_paths(self.network)
        self.weights = [_weight(self.network, path) for path in self.layers]
        self._projected: list[Projected] = [m for m in self.network.modules() if hasattr(m, "project_")]  # type: ignore[misc]

    def project(self) -> None:
        """Clamp what the layers clamp, in place."""
        for module in self._projected:
            module.project_()

    def bounds(self) -> list[Bound] | None:
        """Return what `project` clamps: parameters, and what each is at least and at most; None where a layer does not
        say.
        """
        if not all(_says_its_bounds(type(module)) for module in self._projected):
            return None
        return [bound for module in self._projected for bound in module.bounds()]  # type: ignore[attr-defined]


@dataclass
class TrainState:
    """The phases of a training step by the names of their networks; most objectives have one."""

    phases: dict[str, Phase]

    @property
    def networks(self) -> dict[str, nn.Module]:
        """The networks by name."""
        return {name: phase.network for name, phase in self.phases.items()}

    @property
    def layers(self) -> list[str]:
        """The paths of all networks' layers, in the order in which logs and records name them."""
        return [self.named(name, path) for name, phase in self.phases.items() for path in phase.layers]

    def named(self, network: str, path: str) -> str:
        """Return what a tensor or layer of a network is called in a run's files; of an only network just its path."""
        return path if len(self.phases) == 1 else f"{network}.{path}"

    def modules(self) -> dict[str, nn.Module]:
        """Return the layers by the names that records use."""
        return {
            self.named(name, path): phase.network.get_submodule(path)
            for name, phase in self.phases.items()
            for path in phase.layers
        }

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors of the networks by the names that a run's weights have."""
        return {
            self.named(name, key): value
            for name, phase in self.phases.items()
            for key, value in phase.network.state_dict().items()
        }

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Put `tensors`, as `tensors()` names them, into the networks. Raises RuntimeError when they do not fit."""
        for name, phase in self.phases.items():
            prefix = self.named(name, "")
            phase.network.load_state_dict(
                {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
            )

    def train(self) -> None:
        """Set the networks to training."""
        for phase in self.phases.values():
            phase.network.train()

    def eval(self) -> None:
        """Set the networks to evaluation."""
        for phase in self.phases.values():
            phase.network.eval()


def train_state(networks: Mapping[str, nn.Module], recipe: TrainConfig, steps_per_epoch: int) -> TrainState:
    """Return the state of a run before its first step: an optimizer and a schedule by the recipe for each network."""
    phases = {}
    for name, network in networks.items():
        optimizer = make_optimizer(network, recipe)
        phases[name] = Phase(network, optimizer, make_scheduler(optimizer, recipe, steps_per_epoch))
    return TrainState(phases)


def _says_its_bounds(kind: type) -> bool:
    """Whether a layer has bounds that speak of its own project_, not of that of a class it is derived from."""
    first = next(each for each in kind.__mro__ if {"bounds", "project_"} & vars(each).keys())
    return "bounds" in vars(first)


def _weight(network: nn.Module, path: str) -> Tensor:
    weight = network.get_submodule(path).weight
    assert isinstance(weight, Tensor)
    return weight
