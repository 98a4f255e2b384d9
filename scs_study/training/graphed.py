"""The graphed engine: a training step as one CUDA graph, so that the host starts one thing a step and waits for none.

Everything a step reads or writes stays where it is on the device: the epoch's plan, the step's number, the rates, the
log. So the same function is one step of any epoch, and where there is no CUDA device it is simply called.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from scs_study.config.schema import TrainConfig
from scs_study.data import Batches, Plan
from scs_study.system.randomness import moved, states
from scs_study.training.cuda_stream import on_own_stream, own_stream
from scs_study.training.eager import CHECK_EVERY, EagerEngine, Stopped, gradient_norms, weight_norms
from scs_study.training.flat import FlatOptimizer
from scs_study.training.objectives import Objective
from scs_study.training.optimizer import put_at, rates
from scs_study.training.state import Phase, TrainState
from scs_study.training.step_log import StepLog

WARM_UP = 3
"""Calls of a function before it is captured: cuDNN and cuBLAS choose algorithms and take memory in the first ones."""
_CAPTURING = threading.Lock()
"""One capture at a time: it begins with a look at the whole device, which another one's must not meet."""

Work = Callable[[], None]


def capture(work: Work, stream: Any, pool: Any) -> Work:
    """Return a function that does on the device what `work` does, as one CUDA graph; `work` itself is not done.

    stream: the CUDA stream it is captured on (a cuBLAS workspace belongs to a stream). pool: where the graph's memory
    comes from, shared only by graphs that never run at the same time.
    """
    graph = torch.cuda.CUDAGraph()
    # thread_local: what other threads, with runs of their own, ask of CUDA meanwhile does not spoil the capture.
    with _CAPTURING, torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
        work()
    return graph.replay


class _Repeated:
    """A function that is done as it is WARM_UP times, then captured, and replayed from then on.

    quiet: whether a replay draws no random number, so that it need not wait for others to have drawn theirs.
    """

    def __init__(
        self, work: Work, captured: Callable[[Work], Work] | None, device: torch.device, alone: bool = True
    ) -> None:
        self._work, self._captured, self._calls = work, captured, 0
        self._device, self._alone = device, alone
        self._drawn_from: set[str] = set()
        self.quiet = False

    def __call__(self) -> None:
        if self._captured is None:
            self._work()
            return
        if self._calls == WARM_UP:
            self._check_draws()
            self._work = self._captured(self._work)
            self.quiet = not self._drawn_from
        self._calls += 1
        if self._calls > WARM_UP:
            self._work()
            return
        before = states(self._device)
        self._work()
        self._drawn_from |= moved(before, self._device)

    def _check_draws(self) -> None:
        if self._drawn_from - {"cuda"}:
            raise ValueError(
                "engine.name=graphed: the network draws random numbers on the CPU, which a CUDA graph would repeat "
                "for ever: use engine=eager"
            )
        if self._drawn_from and not self._alone:
            raise ValueError(
                "launch.side_by_side: the network or train.random_erasing draws random numbers, and graphs beside each "
                "other share the place where they start from: use launch.side_by_side=1 (a cluster: launch.at_once=1) "
                "or engine=eager"
            )


def _method(owner: object, name: str, *arguments: Any) -> Work:
    """Return a call of a method of `owner` that does not keep it: what an engine repeats must not hold the engine.

    Else only the collector of cycles would free its data set and its graphs, and a GPU fills up before that runs.
    """
    reference = weakref.ref(owner)

    def call() -> None:
        getattr(reference(), name)(*arguments)

    return call


class GraphedEngine(EagerEngine):
    """Trains and evaluates as the eager engine does, without waiting for the device inside an epoch.

    A run that diverges is noticed at the end of its epoch; its records end where the eager engine would have stopped.
    """

    def __init__(
        self, objective: Objective, state: TrainState, batches: Batches, recipe: TrainConfig, device: torch.device
    ) -> None:
        super().__init__(objective, state, batches, recipe, device)
        self._table = rates(recipe, batches.steps)
        self._flat = {id(phase): FlatOptimizer(phase.optimizer, recipe, self._table) for phase in state.phases.values()}
        self._fused = {
            id(phase): self._flat[id(phase)].fuse(phase.weights, phase.bounds()) for phase in state.phases.values()
        }
        self._log = self.new_log()
        self._numbers = torch.zeros(2, 1, dtype=torch.int64, device=device)
        self._epoch_step, self._run_step = self._numbers.unbind()
        self._plan: dict[str, Tensor] = {}
        self._totals = objective.totals(device)
        self._pool = torch.cuda.graph_pool_handle() if device.type == "cuda" else None
        self._by_size: dict[int, _Repeated] = {}
        self._evaluation: _Repeated | None = None

    def _repeated(self, work: Work) -> _Repeated:
        return _Repeated(work, self._capture if self.device.type == "cuda" else None, self.device, self.alone)

    @contextlib.contextmanager
    def _in_turn(self, work: _Repeated, what: str, step: int) -> Iterator[None]:
        # A replay that draws nothing waits for nobody: it may block for as long as the device's queue is full.
        with contextlib.nullcontext() if work.quiet else self._drawing(what, step):
            yield

    def _capture(self, work: Work) -> Work:
        return capture(work, own_stream(self.device), self._pool)

    def _steps(self, plan: Plan, log: StepLog, stop: Callable[[], bool]) -> None:
        first = self.steps_done - log.done
        self._begin(plan, log, first)
        stopped = False
        with on_own_stream(self.device):  # what a graph is captured from must run where it is captured
            while log.done < self.batches.steps and not (stopped := stop()):
                size = min(self.batches.batch_size, self.batches.train_images - log.done * self.batches.batch_size)
                if size not in self._by_size:
                    self._by_size[size] = self._repeated(_method(self, "_next_step", size))
                work = self._by_size[size]
                with self._in_turn(work, "training", first + log.done):
                    work()
                log.done += 1
        self._end(log, first)
        if not self._diverged_at_a_check(log) and stopped:
            raise Stopped

    def _begin(self, plan: Plan, log: StepLog, first: int) -> None:
        for name, values in plan.shown().items():
            if name in self._plan:
                self._plan[name].copy_(values)
            else:
                self._plan[name] = values.clone()
        self._log.restore(log.tensors(), log.done, log.seconds)
        self._epoch_step.fill_(log.done)
        self._run_step.fill_(first + log.done)
        for flat in self._flat.values():
            flat.take_over()

    def _next_step(self, size: int) -> None:
        """Do one step of the run on the next `size` images of the plan. Nothing here waits for the device."""
        x, y = self.batches.at(self._plan, self._epoch_step, size)
        first_layer = 0
        for name, phase in self.state.phases.items():
            found = self.objective.gradients(name, self._networks, x, y)
            with torch.no_grad():
                self._update(phase, first_layer)
                for metric, value in found.items():
                    self._log.metrics[metric].index_copy_(0, self._epoch_step, value.unsqueeze(0))
            first_layer += len(phase.weights)
        with torch.no_grad():
            self._numbers += 1

    def _update(self, phase: Phase, first_layer: int) -> None:
        """Make the phase's step, and log the norms of its layers from column `first_layer` on."""
        log, fused = self._log, self._fused[id(phase)]
        if fused is not None:
            fused.step(self._run_step)
            fused.log_norms(self._epoch_step, log.gradient_norm, log.weight_norm, first_layer)
            return
        columns = slice(first_layer, first_layer + len(phase.weights))
        log.gradient_norm[:, columns].index_copy_(0, self._epoch_step, gradient_norms(phase).unsqueeze(0))
        self._flat[id(phase)].step(self._run_step)
        phase.project()
        log.weight_norm[:, columns].index_copy_(0, self._epoch_step, weight_norms(phase).unsqueeze(0))

    def _end(self, log: StepLog, first: int) -> None:
        done = log.done
        for phase in self.state.phases.values():
            self._flat[id(phase)].hand_back(first + done)
            put_at(first + done, phase.optimizer, phase.scheduler, self._table)
        log.restore(self._log.tensors(), done, log.seconds)

    def _diverged_at_a_check(self, log: StepLog) -> bool:
        """Whether the eager engine would have seen the epoch diverge; the log then ends where it would have stopped."""
        bad = log.first_bad_loss()
        check = log.done + 1 if bad is None else (bad // CHECK_EVERY + 1) * CHECK_EVERY
        if check > log.done:
            return False
        log.done = check
        return True

    @torch.no_grad()
    def evaluate(self, stop: Callable[[], bool]) -> Mapping[str, float]:
        """Return the metrics on the whole test set. Raises Stopped, before it begins."""
        if stop():
            raise Stopped
        self.state.eval()
        if self._evaluation is None:
            self._evaluation = self._repeated(_method(self, "_whole_test_set"))
        with (
            on_own_stream(self.device),
            self._in_turn(self._evaluation, "evaluation", self.steps_done),
        ):
            self._evaluation()
        return self.objective.test_metrics(self._totals, self.batches)

    def _whole_test_set(self) -> None:
        for total in self._totals.values():
            total.zero_()
        for _ in self.objective.test(self._networks, self.batches, self._totals):
            pass
