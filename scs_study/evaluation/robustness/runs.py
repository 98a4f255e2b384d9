"""The attacks on one finished run: what is kept is not computed again, what is missing is, a batch at a time."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scs_study.data import Batches
from scs_study.evaluation.robustness import cache as keep
from scs_study.evaluation.robustness.attacks import LEAST_CLASSES, Watched
from scs_study.evaluation.robustness.cache import Batch, Fell
from scs_study.evaluation.robustness.classifier import Classifier, balanced
from scs_study.evaluation.robustness.evaluate import NEVER, falls, zero_gradients
from scs_study.evaluation.robustness.settings import PIXEL, Robustness
from scs_study.evaluation.trained import Trained
from scs_study.runs.context import Workplace
from scs_study.system import console
from scs_study.training.objectives.classification import EVAL_BATCH
from scs_study.training.precision import numerics
from scs_study.training.run import denormals_flushed, device_name

CLEAN, PGD, ZERO = "clean", "pgd", "zero_gradient"
Identity = Mapping[str, Any]


@dataclass(frozen=True)
class Done:
    """A batch of a run's attack, for progress. fresh: whether it was computed just now, and not found."""

    run: str
    attack: str
    batch: Batch
    fresh: bool


@dataclass(frozen=True, eq=False)
class Target:
    """A trained network, and the one that transferred images are made for (None where the study has none)."""

    trained: Trained
    source: Trained | None

    @property
    def images(self) -> str:
        """The digest of the images that the run was trained and tested on."""
        return str(self.trained.result["data_digest"])


def identity(target: Target, name: str, settings: Robustness) -> Identity:
    """Everything that the results of attack `name` depend on; which images it visits is said by its batches."""
    common = {**clean_identity(target), "attack": name, "batch": settings.batch}
    if name == ZERO:
        return common
    if name == "transfer":
        assert target.source is not None
        common |= {"source": target.source.weights}
    radii = list(settings.eps[1:] if name == PGD else settings.check_eps)
    return {**common, "method": asdict(settings.method(name)), "eps": radii, "seed": settings.seed}


def clean_identity(target: Target) -> Identity:
    """What the accuracy without an attack depends on: the weights and the images."""
    return {"attack": CLEAN, "weights": target.trained.weights, "images": target.images}


def attack_names(target: Target, settings: Robustness) -> list[str]:
    """The attacks on a run, in their order: a transfer where it has a source, APGD where it has enough classes."""
    classes = target.trained.cell.data.num_classes or 0
    enough = [name for name in settings.checks if classes >= LEAST_CLASSES.get(name, 2)]
    return [PGD, *(name for name in enough if name != "transfer" or target.source is not None)]


def kept_fell(target: Target, name: str, settings: Robustness, visit: NDArray[np.bool_]) -> Fell | None:
    """Which of the visited images fell at which radius, if all of them have been attacked already; else None.

    visit: bool (radii, images). Errors: ValueError naming the file when it is damaged.
    """
    return _joined(keep.read(target.trained.folder, identity(target, name, settings)), visit, settings.batch)


def kept_clean(target: Target) -> NDArray[np.bool_] | None:
    """Which images the network classifies rightly as they are, in the order of attack, bool (N,); None if not known."""
    batches = list(keep.read(target.trained.folder, clean_identity(target)).values())
    return standing(batches[-1]) if batches else None


def standing(clean: Batch) -> NDArray[np.bool_]:
    """Which images of the evaluation without an attack are classified rightly, bool (N,)."""
    return np.array([index == NEVER for index in clean.fell], dtype=np.bool_)


def pgd_visit(right: NDArray[np.bool_], settings: Robustness) -> NDArray[np.bool_]:
    """What PGD visits: the images that are classified rightly, at every radius above 0; bool (radii, images)."""
    right = right[: settings.images]
    return np.broadcast_to(right, (len(settings.eps) - 1, len(right)))


def check_visit(right: NDArray[np.bool_], fell: Fell, settings: Robustness) -> NDArray[np.bool_]:
    """What the further attacks visit: at each of their radii the images that PGD left; bool (radii, images).

    fell: PGD's.
    """
    images = min(len(fell), settings.check_images or len(fell))
    fell, right = fell[:images], right[:images]
    indices = [settings.eps.index(radius) - 1 for radius in settings.check_eps]
    visits = [right & ((fell == NEVER) | (fell > index)) for index in indices]
    return np.array(visits, dtype=np.bool_).reshape(len(indices), images)


class Evaluation:
    """Evaluates one run; its network and images are loaded when the first batch needs them."""

    def __init__(
        self,
        target: Target,
        settings: Robustness,
        place: Workplace,
        check: Callable[[], None] = lambda: None,
        report: Callable[[Done], None] = lambda done: None,
        say: Callable[[str], None] = console.say,
    ) -> None:
        self.target, self.settings, self.place = target, settings, place
        self.check, self.report, self.say = check, report, say
        self._network: Watched | None = None
        self._source: Watched | None = None
        self._images: tuple[Tensor, Tensor] | None = None

    def run(self) -> None:
        """None; all attacks on the run are in its folder.

        Errors: ValueError in one sentence when the network cannot be attacked; what `check` raises, between two passes.
        """
        with denormals_flushed():
            right = self._clean()
            fell = self._attack(PGD, pgd_visit(right, self.settings))
            images = min(len(fell), self.settings.check_images or len(fell))
            self._attack(ZERO, np.ones((1, images), dtype=np.bool_))
            for name in attack_names(self.target, self.settings)[1:]:
                self._attack(name, check_visit(right, fell, self.settings))

    def _clean(self) -> NDArray[np.bool_]:
        folder, about = self.target.trained.folder, clean_identity(self.target)
        batches, sentence = keep.resume(folder, about)
        if sentence:
            self.say(sentence)
        if not batches:
            started = time.perf_counter()
            right = _clean_predictions(self.target.trained, self.place)
            fell = tuple(np.where(right.numpy()[self._order()], NEVER, 0).tolist())
            seconds, words = time.perf_counter() - started, self._device()
            batch = Batch(0, len(fell), 0, fell, 0, len(fell), seconds, words)
            _hold_to_record(self.target.trained, batch)
            keep.add(folder, about, batch)
            return standing(batch)
        batch = list(batches.values())[-1]
        _hold_to_record(self.target.trained, batch)
        return standing(batch)

    def _attack(self, name: str, visit: NDArray[np.bool_]) -> Fell:
        folder, about = self.target.trained.folder, identity(self.target, name, self.settings)
        batches, sentence = keep.resume(folder, about)
        if sentence:
            self.say(sentence)
        for first, count in keep.spans(visit.shape[1], self.settings.batch):
            part = visit[:, first : first + count]
            found = batches.get((first, count, keep.visit_checksum(part)))
            if found is not None:
                self.report(Done(folder.name, name, found, False))
                continue
            self.check()
            batch = self._batch(name, first, part)
            keep.add(folder, about, batch)
            batches[batch.key] = batch
            self.report(Done(folder.name, name, batch, True))
        fell = _joined(batches, visit, self.settings.batch)
        assert fell is not None
        return fell

    def _batch(self, name: str, first: int, visit: NDArray[np.bool_]) -> Batch:
        started = time.perf_counter()
        network, count = self._watched(), visit.shape[1]
        pixels, labels = self._test()
        # A tensor, as in data.batches: dividing by a Python number gives other last bits on CUDA.
        white = torch.tensor(255.0, device=pixels.device)
        x = (pixels[first : first + count].float() / white).permute(0, 3, 1, 2)
        y = labels[first : first + count]
        source = self._transferring() if name == "transfer" else None
        before = _work(network, source)
        if name == ZERO:
            fell = torch.where(zero_gradients(network, x, y), 0, NEVER)
        else:
            radii = self.settings.eps[1:] if name == PGD else self.settings.check_eps
            seed = (self.settings.seed, name, first)
            method = self.settings.method(name)
            mask = torch.from_numpy(np.array(visit))
            fell = falls(network, x, y, method, [radius / PIXEL for radius in radii], mask, seed, source)
        gradients, forwards = (after - now for after, now in zip(_work(network, source), before, strict=True))
        seconds = time.perf_counter() - started
        found = tuple(fell.cpu().tolist())
        return Batch(first, count, keep.visit_checksum(visit), found, gradients, forwards, seconds, self._device())

    def _watched(self) -> Watched:
        if self._network is None:
            self._network = self._under_attack(self.target.trained)
        return self._network

    def _transferring(self) -> Watched:
        if self._source is None:
            assert self.target.source is not None
            self._source = self._under_attack(self.target.source)
        return self._source

    def _under_attack(self, trained: Trained) -> Watched:
        device = self.place.settings.device
        return Watched(Classifier(trained).to(device).eval(), device, self.check)

    def _test(self) -> tuple[Tensor, Tensor]:
        if self._images is None:
            images, order = self.place.images(self.target.trained.cell.data), torch.from_numpy(self._order())
            device = self.place.settings.device
            self._images = images.test_images[order].to(device), images.test_labels[order].to(device)
        return self._images

    def _order(self) -> NDArray[np.int64]:
        order: NDArray[np.int64] = balanced(self.place.images(self.target.trained.cell.data).test_labels).numpy()
        return order

    def _device(self) -> str:
        return device_name(self.place.settings.device)


@torch.no_grad()
def _clean_predictions(trained: Trained, place: Workplace) -> Tensor:
    """Whether each test image is classified rightly, bool (N,), computed exactly as training does at an epoch's end."""
    images, device = place.images(trained.cell.data), place.settings.device
    if images.digest != trained.result["data_digest"]:
        raise ValueError(f"{trained.folder.name}: the images here are not those that it was trained on")
    # The test set alone: the training images would take their memory for nothing.
    tested = replace(images, train_images=images.train_images[:1], train_labels=images.train_labels[:1])
    batches = Batches(tested, trained.cell.data, 1, trained.cell.seed, device)
    network: nn.Module = trained.network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    right = []
    with _threads(trained.result.get("device")):
        for x, y in batches.test(EVAL_BATCH):
            with numerics(trained.cell.train.numerics, device):
                right.append(network(x).argmax(1) == y)
    return torch.cat(right).cpu()


def _hold_to_record(trained: Trained, batch: Batch) -> None:
    accuracy, recorded = batch.fell.count(NEVER) / batch.count, trained.result["final_test_accuracy"]
    if accuracy != recorded:
        raise ValueError(
            f"{trained.folder.name}: the accuracy without an attack is {accuracy} here and {recorded} in its record;"
            f" evaluate it where it was trained ({trained.result['device']}; engine.device)"
        )


@contextmanager
def _threads(device: object) -> Iterator[None]:
    """A context with as many CPU threads as a run says it had: with another number the last bits would be others."""
    found, before = re.fullmatch(r"cpu, (\d+) threads", str(device)), torch.get_num_threads()
    try:
        if found:
            torch.set_num_threads(int(found[1]))
        yield
    finally:
        torch.set_num_threads(before)


def _work(*networks: Watched | None) -> tuple[int, int]:
    there = [network for network in networks if network is not None]
    return sum(network.gradients for network in there), sum(network.forwards for network in there)


def _joined(batches: Mapping[keep.Key, Batch], visit: NDArray[np.bool_], size: int) -> Fell | None:
    parts: list[Sequence[int]] = []
    for first, count in keep.spans(visit.shape[1], size):
        batch = batches.get((first, count, keep.visit_checksum(visit[:, first : first + count])))
        if batch is None:
            return None
        parts.append(batch.fell)
    return np.array([index for part in parts for index in part], dtype=np.int64)
