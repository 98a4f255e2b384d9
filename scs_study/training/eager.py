"""The eager engine: plain PyTorch, one operation after the other, on any device."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import LRScheduler

from scs_study.config.schema import TrainConfig
from scs_study.data import Batches, Plan
from scs_study.randomness import derived, own_random_state
from scs_study.training.step_log import StepLog

EVAL_BATCH = 500
CHECK_EVERY = 50
"""Steps between two looks at the loss: often enough to stop a diverged run early, rarely enough to cost nothing."""


class Projected(Protocol):
    """A layer whose parameters are clamped after each optimizer step."""

    def project_(self) -> None: ...


class Stopped(Exception):
    """The run was asked to stop; the step log says how far it came."""


@contextmanager
def numerics(name: str, device: torch.device) -> Iterator[None]:
    """A context with the declared numerics class of matrix products. Errors: ValueError where it has no effect."""
    if name == "tf32" and device.type != "cuda":
        raise ValueError(f"train.numerics=tf32 has no effect on {device.type}: it needs a CUDA device")
    if device.type == "cuda":
        # torch lets cuDNN use TF32 unless told otherwise, and float32 here means float32.
        torch.backends.cudnn.allow_tf32 = name == "tf32"
        torch.backends.cuda.matmul.allow_tf32 = name == "tf32"
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=name == "bf16"):
        yield


class EagerEngine:
    """Trains and evaluates a network on the batches of one device.

    What a network draws while it trains (Dropout, RReLU, ...) is a pure function of the run's seed and the step, as its
    batches are: before each step the process's generators are seeded, and put back after it, by one thread at a time.
    So the numbers are those of every variant, a resumed run needs no generator's state, and neighbours disturb nobody.
    alone: whether no other run is in this process.
    """

    alone = True

    def __init__(
        self,
        network: nn.Module,
        layers: list[str],
        optimizer: torch.optim.Optimizer,
        scheduler: LRScheduler,
        batches: Batches,
        recipe: TrainConfig,
        device: torch.device,
    ) -> None:
        self.network, self.optimizer, self.scheduler = network, optimizer, scheduler
        self.batches, self.recipe, self.device = batches, recipe, device
        self._weights = [_weight(network, path) for path in layers]
        self._projected: list[Projected] = [m for m in network.modules() if hasattr(m, "project_")]  # type: ignore[misc]

    def train_epoch(self, plan: Plan, log: StepLog, stop: Callable[[], bool]) -> None:
        """None; `log` holds the epoch's remaining steps. Errors: Stopped when `stop()` turns true between two steps.

        Returns early after a loss that is not finite: `log.first_bad_loss()` tells.
        """
        self.network.train()
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
            with self._drawing("training", int(self.scheduler.last_epoch)):
                loss, correct, gradient_norm = self._gradients(*self.batches.train(plan, log.done))
            with torch.no_grad():
                self.optimizer.step()
                self._project()
                step = log.done
                log.loss[step], log.correct[step], log.gradient_norm[step] = loss, correct, gradient_norm
                log.weight_norm[step] = self._weight_norms()
            self.scheduler.step()
            log.done += 1
            if log.done % CHECK_EVERY == 0 and log.first_bad_loss() is not None:
                return

    def _drawing(self, what: str, step: int) -> AbstractContextManager[None]:
        """Return a context in which the network may draw: its numbers are those of `step`, counted over the run."""
        return own_random_state(derived(f"{what} {self.batches.seed} {step}"), self.device)

    def _gradients(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The loss (), correct images () and gradient norms (L,) of a batch; every parameter has its gradient."""
        with numerics(self.recipe.numerics, self.device):
            output = self.network(x)
            loss = cross_entropy(output, y, label_smoothing=self.recipe.label_smoothing)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            norms = torch.stack(torch._foreach_norm([_gradient(w) for w in self._weights]))
            return loss.detach(), (output.argmax(1) == y).sum(), norms

    def _project(self) -> None:
        for module in self._projected:
            module.project_()

    @torch.no_grad()
    def _weight_norms(self) -> Tensor:
        return torch.stack(torch._foreach_norm(self._weights))

    @torch.no_grad()
    def evaluate(self, stop: Callable[[], bool]) -> tuple[float, float]:
        """Mean loss and accuracy (0..1) on the whole test set. Errors: Stopped."""
        self.network.eval()
        loss = torch.zeros((), device=self.device)
        correct = torch.zeros((), dtype=torch.int64, device=self.device)
        with self._drawing("evaluation", int(self.scheduler.last_epoch)):
            for x, y in self.batches.test(EVAL_BATCH):
                if stop():
                    raise Stopped
                self._add_test_batch(x, y, loss, correct)
        return self._means(loss, correct)

    def _add_test_batch(self, x: Tensor, y: Tensor, loss: Tensor, correct: Tensor) -> None:
        with numerics(self.recipe.numerics, self.device):
            output = self.network(x)
            loss += cross_entropy(output, y, reduction="sum")
        correct += (output.argmax(1) == y).sum()

    def _means(self, loss: Tensor, correct: Tensor) -> tuple[float, float]:
        return float(loss) / self.batches.test_images, int(correct) / self.batches.test_images

    def synchronise(self) -> None:
        """None; every kernel that this engine has started has ended. Runs beside this one are not waited for."""
        if self.device.type == "cuda":
            torch.cuda.current_stream(self.device).synchronize()


def _weight(network: nn.Module, path: str) -> Tensor:
    weight = network.get_submodule(path).weight
    assert isinstance(weight, Tensor)
    return weight


def _gradient(weight: Tensor) -> Tensor:
    return weight.grad if weight.grad is not None else torch.zeros_like(weight)
