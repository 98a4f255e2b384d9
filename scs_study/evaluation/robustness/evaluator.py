"""The attacks on one finished run: what is cached is not computed again, what is missing is, a batch at a time."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scs_study.data import Batches
from scs_study.evaluation.parts import Part, Report, evaluate
from scs_study.evaluation.robustness import batches
from scs_study.evaluation.robustness.attacks import LEAST_CLASSES, Watched
from scs_study.evaluation.robustness.batches import Batch, FirstEps
from scs_study.evaluation.robustness.classifier import Classifier, balanced
from scs_study.evaluation.robustness.evaluate import NEVER, evaluate_attack, zero_gradients
from scs_study.evaluation.robustness.identity import (
    CLEAN,
    PGD,
    PREDICTED,
    ZERO,
    additional_images,
    additional_mask,
    attack_names,
    clean_identity,
    correct,
    identity,
    joined,
    pgd_mask,
)
from scs_study.evaluation.robustness.models import AttackedModel
from scs_study.evaluation.robustness.settings import PIXEL, WORDS, Robustness
from scs_study.evaluation.robustness.smooth import smoothed
from scs_study.evaluation.trained import Trained
from scs_study.runs.context import RunContext
from scs_study.system.console import say
from scs_study.training.objectives.classification import EVAL_BATCH
from scs_study.training.precision import numerics
from scs_study.training.run import denormals_flushed, device_name


def attack(
    models: Mapping[str, AttackedModel],
    settings: Robustness,
    context: RunContext,
    report: Report = lambda run, part: None,
) -> list[str]:
    """Compute what is missing of the attacks on `models`, by run name; return a message for each that has a problem.

    Raises:
        Interrupted: after a signal; what was computed until then is cached.
    """
    for message in too_few(models, settings, context):
        say(f"robustness: {message}")
    evaluators = {name: RobustnessEvaluator(model, settings, context) for name, model in models.items()}
    work = sum(evaluator.work() for evaluator in evaluators.values())
    say(f"robustness: {len(models)} runs, at most {work:.1e} images x evaluations, less what is cached")
    return evaluate("robustness", evaluators, report)


def too_few(models: Mapping[str, AttackedModel], settings: Robustness, context: RunContext) -> list[str]:
    """Return a message for every data set with fewer test images, or fewer classes, than the settings ask for."""
    cells = [model.trained.cell for model in models.values()]
    there = {cell.data.name: len(context.images(cell.data).test_labels) for cell in cells}
    classes = {cell.data.name: cell.data.num_classes or 0 for cell in cells}
    messages = []
    for data, count in classes.items():
        if left_out := [name for name in settings.checks if count < LEAST_CLASSES.get(name, 2)]:
            messages.append(f"{data} has {count} classes, too few for {' and '.join(left_out)}, which are left out")
    for data, count in there.items():
        names = ("images", "check_images") if settings.checks else ("images",)
        above = [f"attack.{name}={getattr(settings, name)}" for name in names if (getattr(settings, name) or 0) > count]
        if above:
            messages.append(f"{data} has {count} test images, fewer than {' and '.join(above)}: all are attacked")
    return messages


class RobustnessEvaluator:
    """Attacks one run; its network and images are loaded when the first batch needs them."""

    def __init__(
        self, model: AttackedModel, settings: Robustness, context: RunContext, check: Callable[[], None] = lambda: None
    ) -> None:
        self.model, self.settings, self.context, self.check = model, settings, context, check
        self.folder = model.trained.folder / batches.FOLDER
        self._network: Watched | None = None
        self._source: Watched | None = None
        self._smooth: Watched | None = None
        self._images: tuple[Tensor, Tensor] | None = None

    def work(self) -> float:
        """Return the gradients of an image, or as many forward passes, that the attacks take at most."""
        images = min(self.settings.images or len(self._order()), len(self._order()))
        additional = additional_images(images, self.settings)
        names = attack_names(self.model, self.settings)
        return sum(self._work(name) * (images if name == PGD else additional) for name in names)

    def parts(self) -> Iterator[Part]:
        """Yield the batches of all attacks in their order.

        Raises:
            ValueError: in one sentence, when the network cannot be attacked.
        """
        with denormals_flushed():
            right = yield from self._clean()
            pgd = yield from self._attack(PGD, pgd_mask(right, self.settings))
            images = additional_images(len(pgd), self.settings)
            yield from self._attack(ZERO, np.ones((1, images), dtype=np.bool_))
            for name in attack_names(self.model, self.settings)[1:]:
                yield from self._attack(name, additional_mask(right, pgd, self.settings))

    def _clean(self) -> Generator[Part, None, NDArray[np.bool_]]:
        """Yield the images as they are: which are classified rightly, and as what."""
        folder = self.model.trained.folder
        keys = {name: clean_identity(self.model, name) for name in (CLEAN, PREDICTED)}
        found = {name: list(batches.resume(folder, key).values())[-1:] for name, key in keys.items()}

        def compute() -> str:
            started = time.perf_counter()
            predicted, labels = _predictions(self.model.trained, self.context)
            order = self._order()
            seconds, device = time.perf_counter() - started, device_name(self.context.settings.device)
            values = {
                CLEAN: np.where((predicted == labels).numpy()[order], NEVER, 0),
                PREDICTED: predicted.numpy()[order],
            }
            for name, each in values.items():
                batch = Batch(0, len(each), 0, tuple(each.tolist()), 0, len(each), seconds, device)
                if name == CLEAN:
                    _check_accuracy(self.model.trained, batch)
                if not found[name]:
                    batches.add(folder, keys[name], batch)
                    found[name] = [batch]
            return ""

        yield Part(CLEAN, "without an attack", 0, None if all(found.values()) else compute)
        (clean,) = found[CLEAN]
        _check_accuracy(self.model.trained, clean)
        return correct(clean)

    def _attack(self, name: str, mask: NDArray[np.bool_]) -> Generator[Part, None, FirstEps]:
        folder, key = self.model.trained.folder, identity(self.model, name, self.settings)
        found = batches.resume(folder, key)
        for first, count in batches.spans(mask.shape[1], self.settings.batch):
            part = mask[:, first : first + count]
            title = f"{WORDS.get(name, 'gradients')}: images {first + 1}-{first + count}"
            work = 0.0 if name == ZERO else self._work(name) * count

            def compute(first: int = first, part: NDArray[np.bool_] = part) -> str:
                batch = self._batch(name, first, part)
                batches.add(folder, key, batch)
                found[batch.key] = batch
                speed = (batch.gradients + batch.forwards) / batch.seconds
                fooled = sum(index != NEVER for index in batch.values)
                return f"{fooled} fooled, {speed:.0f} images x evaluations a second"

            cached = (first, count, batches.mask_checksum(part)) in found
            yield Part(name, title, work, None if cached else compute)
        first_eps = joined(found, mask, self.settings.batch)
        assert first_eps is not None
        return first_eps

    def _batch(self, name: str, first: int, mask: NDArray[np.bool_]) -> Batch:
        started = time.perf_counter()
        network, count = self._watched(), mask.shape[1]
        pixels, labels = self._test()
        # A tensor, as in data.batches: dividing by a Python number gives other last bits on CUDA.
        white = torch.tensor(255.0, device=pixels.device)
        x = (pixels[first : first + count].float() / white).permute(0, 3, 1, 2)
        y = labels[first : first + count]
        source = {"transfer": self._transferring, "smooth": self._smoothed}.get(name, lambda: None)()
        before = _passes(network, source)
        if name == ZERO:
            first_eps = torch.where(zero_gradients(network, x, y), 0, NEVER)
        else:
            radii = self.settings.eps[1:] if name == PGD else self.settings.check_eps
            seed = (self.settings.seed, name, first)
            method, eps = self.settings.method(name), [radius / PIXEL for radius in radii]
            first_eps = evaluate_attack(network, x, y, method, eps, torch.from_numpy(np.array(mask)), seed, source)
        gradients, forwards = (after - now for after, now in zip(_passes(network, source), before, strict=True))
        seconds, device = time.perf_counter() - started, device_name(self.context.settings.device)
        values = tuple(first_eps.cpu().tolist())
        return Batch(first, count, batches.mask_checksum(mask), values, gradients, forwards, seconds, device)

    def _work(self, name: str) -> float:
        radii = len(self.settings.eps) - 1 if name == PGD else len(self.settings.check_eps)
        return self.settings.method(name).cost * radii

    def _watched(self) -> Watched:
        if self._network is None:
            self._network = self._under_attack(self.model.trained)
        return self._network

    def _transferring(self) -> Watched:
        if self._source is None:
            assert self.model.source is not None
            self._source = self._under_attack(self.model.source)
        return self._source

    def _smoothed(self) -> Watched:
        if self._smooth is None:
            self._smooth = self._under_attack(self.model.trained)
            self._smooth.network = smoothed(self._smooth.network)
        return self._smooth

    def _under_attack(self, trained: Trained) -> Watched:
        device = self.context.settings.device
        return Watched(Classifier(trained).to(device).eval(), device, lambda: self.check())

    def _test(self) -> tuple[Tensor, Tensor]:
        if self._images is None:
            images, order = self.context.images(self.model.trained.cell.data), torch.from_numpy(self._order())
            device = self.context.settings.device
            self._images = images.test_images[order].to(device), images.test_labels[order].to(device)
        return self._images

    def _order(self) -> NDArray[np.int64]:
        order: NDArray[np.int64] = balanced(self.context.images(self.model.trained.cell.data).test_labels).numpy()
        return order


@torch.no_grad()
def _predictions(trained: Trained, context: RunContext) -> tuple[Tensor, Tensor]:
    """Return the predicted and the true class of each test image, computed exactly as training does after an epoch."""
    images, device = context.images(trained.cell.data), context.settings.device
    if images.digest != trained.result["data_digest"]:
        raise ValueError(f"{trained.folder.name}: the images here are not those that it was trained on")
    # The test set alone: the training images would take their memory for nothing.
    tested = replace(images, train_images=images.train_images[:1], train_labels=images.train_labels[:1])
    test_batches = Batches(tested, trained.cell.data, 1, trained.cell.seed, device)
    network: nn.Module = trained.network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    predicted, labels = [], []
    with _threads(trained.result.get("device")):
        for x, y in test_batches.test(EVAL_BATCH):
            with numerics(trained.cell.train.numerics, device):
                predicted.append(network(x).argmax(1))
                labels.append(y)
    return torch.cat(predicted).cpu(), torch.cat(labels).cpu()


def _check_accuracy(trained: Trained, batch: Batch) -> None:
    """Raise ValueError where the accuracy without an attack is not the recorded one."""
    accuracy, recorded = batch.values.count(NEVER) / batch.count, trained.result["final_test_accuracy"]
    if accuracy != recorded:
        raise ValueError(
            f"{trained.folder.name}: the accuracy without an attack is {accuracy} here and {recorded} in its record;"
            f" evaluate it where it was trained ({trained.result['device']}; engine.device)"
        )


@contextmanager
def _threads(device: object) -> Iterator[None]:
    """Return a context with as many CPU threads as a run says it had: others would give other last bits."""
    found, before = re.fullmatch(r"cpu, (\d+) threads", str(device)), torch.get_num_threads()
    try:
        if found:
            torch.set_num_threads(int(found[1]))
        yield
    finally:
        torch.set_num_threads(before)


def _passes(*networks: Watched | None) -> tuple[int, int]:
    there = [network for network in networks if network is not None]
    return sum(network.gradients for network in there), sum(network.forwards for network in there)
