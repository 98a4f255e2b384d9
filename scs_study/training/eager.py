"""The eager engine: plain PyTorch, one operation after the other, on any device."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from scs_study.config.schema import TrainConfig
from scs_study.data import Batches, Plan
from scs_study.system.randomness import derived, own_random_state
from scs_study.training.objectives import Objective
from scs_study.training.state import Phase, TrainState
from scs_study.training.step_log import StepLog

CHECK_EVERY = 50
"""Steps between two looks at the loss: often enough to stop a diverged run early, rarely enough to cost nothing."""


class Stopped(Exception):
    """The run was asked to stop; the step log says how far it came."""


class EagerEngine:
    """Trains and evaluates what a run trains on the batches of one device.

    What a network draws while it trains (Dropout, RReLU, ...) is a pure function of the run's seed and the step, as its
    batches are: before each step the process's generators are seeded, and put back after it, by one thread at a time.
    So the numbers are those of every variant, a resumed run needs no generator's state, and neighbours disturb nobody.
    alone: whether no other run is in this process.
    """

    alone = True

    def __init__(
        self, objective: Objective, state: TrainState, batches: Batches, recipe: TrainConfig, device: torch.device
    ) -> None:
        self.objective, self.state = objective, state
        self.batches, self.recipe, self.device = batches, recipe, device
        self._networks = state.networks
        self._weights = [weight for phase in state.phases.values() for weight in phase.weights]

    def new_log(self, steps: int | None = None) -> StepLog:
        """Return an empty log of an epoch, or of `steps` steps."""
        return StepLog.empty(steps or self.batches.steps, len(self._weights), self.device, self.objective.logged)

    def train_epoch(self, plan: Plan, log: StepLog, stop: Callable[[], bool]) -> None:
        """Do the epoch's remaining steps, which `log` then holds. Raises Stopped when `stop()` is true between two.

        Returns early after a loss that is not finite: `log.first_bad_loss()` tells.
        """
        self.state.train()
        if log.done == 0:
            log.before.copy_(self._weight_norms())
        started, before = time.perf_counter(), log.seconds
        try:
            self._steps(plan, log, stop)
        finally:
            self.synchronise()
            log.seconds = before + time.perf_counter() - started

    def _steps(self, plan: Plan, log: StepLog, stop: Callable[[], bool]) -> None:
        while log.done < self.batches.steps:
            if stop():
                raise Stopped
            with self._drawing("training", self.steps_done):
                found, gradient_norm = self._step(*self.batches.train(plan, log.done))
            with torch.no_grad():
                step = log.done
                for name, value in found.items():
                    log.metrics[name][step] = value
                log.gradient_norm[step] = gradient_norm
                log.weight_norm[step] = self._weight_norms()
            for phase in self.state.phases.values():
                phase.scheduler.step()
            log.done += 1
            if log.done % CHECK_EVERY == 0 and log.first_bad_loss() is not None:
                return

    @property
    def steps_done(self) -> int:
        """The steps that the run has done, all its epochs together."""
        return int(next(iter(self.state.phases.values())).scheduler.last_epoch)

    def _drawing(self, what: str, step: int) -> AbstractContextManager[None]:
        """Return a context in which the network may draw: its numbers are those of `step`, counted over the run."""
        return own_random_state(derived(f"{what} {self.batches.seed} {step}"), self.device)

    def _step(self, x: Tensor, y: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Do one step of every phase; return what is logged of it, and the layers' gradient norms (L,)."""
        found: dict[str, Tensor] = {}
        norms = []
        for name, phase in self.state.phases.items():
            found |= self.objective.gradients(name, self._networks, x, y)
            with torch.no_grad():
                norms.append(gradient_norms(phase))
                phase.optimizer.step()
                phase.project()
        return found, norms[0] if len(norms) == 1 else torch.cat(norms)

    @torch.no_grad()
    def _weight_norms(self) -> Tensor:
        return torch.stack(torch._foreach_norm(self._weights))

    @torch.no_grad()
    def evaluate(self, stop: Callable[[], bool]) -> Mapping[str, float]:
        """Return the metrics on the whole test set. Raises Stopped."""
        self.state.eval()
        totals = self.objective.totals(self.device)
        with self._drawing("evaluation", self.steps_done):
            for _ in self.objective.test(self._networks, self.batches, totals):
                if stop():
                    raise Stopped
        return self.objective.test_metrics(totals, self.batches)

    def synchronise(self) -> None:
        """Wait until every kernel that this engine has started has ended, but not for runs beside this one."""
        if self.device.type == "cuda":
            torch.cuda.current_stream(self.device).synchronize()


def gradient_norms(phase: Phase) -> Tensor:
    """Return the L2 norms of the gradients to the layers' weights, (L,)."""
    return torch.stack(torch._foreach_norm([_gradient(weight) for weight in phase.weights]))


def weight_norms(phase: Phase) -> Tensor:
    """Return the L2 norms of the layers' weights, (L,)."""
    return torch.stack(torch._foreach_norm(phase.weights))


def _gradient(weight: Tensor) -> Tensor:
    return weight.grad if weight.grad is not None else torch.zeros_like(weight)
