"""A generator against a discriminator: DCGAN's losses, judged by how the samples' coarse pixels are distributed.

Fidelity in the features of a trained network is for finished runs (evaluation/fidelity): it needs that network, and a
run is a function of its own config. What judges every epoch here needs the test images alone.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from scs_study.config.schema import CellConfig
from scs_study.data import Batches, ImageSet
from scs_study.models import build_variant
from scs_study.models.gan import Pair
from scs_study.system import files
from scs_study.system.randomness import derived
from scs_study.system.tensors import save_tensors
from scs_study.training.objectives.classification import EVAL_BATCH
from scs_study.training.objectives.frechet import Moments, frechet_distance
from scs_study.training.precision import numerics
from scs_study.training.step_log import StepLog

DISCRIMINATOR, GENERATOR = "discriminator", "generator"
EVAL_IMAGES = 1000
"""Test images, evenly spaced in their order, that as many samples are compared with after every epoch."""
COARSE = 8
"""Height and width of the pixel means in which samples and test images are compared."""
ROWS = 8
"""Of the grid of samples, and its columns."""
SAMPLES, GENERATORS = "samples", "generators"
"""Folders in a run's folder: a grid of samples, and the generator's weights, of every epoch."""
KINDS, SUMMED = ("real", "fake"), ("loss", "score", "square")
"""Test images and samples; what is added up of the discriminator's answers to them."""
SAME_SCORE, SAME_IMAGE = 1e-3, 1e-2
"""Below these the discriminator's scores of all images, and the generator's images, count as one and the same."""
CERTAIN = 1e-3
"""A discriminator whose mean scores are closer than this to 1 for real images, and to 0 for samples, has won."""


class Adversarial:
    """Two phases a step: the discriminator learns on real images and samples, then the generator on the same samples.

    Each network has an optimizer of the recipe's kind. Losses are binary cross entropies of logits; the generator's is
    the one that does not saturate, of samples called real.
    """

    primary = "pixel_frechet"
    direction: Literal["max", "min"] = "min"
    logged: Mapping[str, torch.dtype] = dict.fromkeys(
        ("loss", "generator_loss", "score_real", "score_fake", "score_fake_after"), torch.float32
    )
    """loss: the discriminator's. score_real, score_fake: its mean probabilities D(x) and D(G(z)) before its update, and
    score_fake_after the latter after it."""
    tested: Sequence[str] = (
        "loss",
        "generator_loss",
        "score_real",
        "score_fake",
        "score_spread",
        "diversity",
        "pixel_frechet",
    )
    """score_spread: the standard deviation of all scores. diversity: of the samples' coarse pixels, the total variance
    divided by that of the test images. pixel_frechet: the Fréchet distance between both, in coarse pixels."""

    def __init__(self, cell: CellConfig) -> None:
        self.cell, self.recipe = cell, cell.train
        self._samples: Tensor | None = None
        self._noise: Tensor | None = None
        self._latent = 0

    def networks(self, shared: Mapping[str, Tensor]) -> dict[str, nn.Module]:
        """Return the discriminator and the generator, in the order of their phases."""
        pair = build_variant(self.cell, shared)
        assert isinstance(pair, Pair), "models.check_cell refuses other architectures"
        self._latent = pair.generator.latent
        return {DISCRIMINATOR: pair.discriminator, GENERATOR: pair.generator}

    def gradients(self, phase: str, networks: Mapping[str, nn.Module], x: Tensor, y: Tensor) -> Mapping[str, Tensor]:
        """Return the phase's loss and mean scores; see `Objective.gradients`. The classes are not looked at."""
        if phase == DISCRIMINATOR:
            return self._discriminate(networks, x)
        return self._generate(networks, x.device)

    def _discriminate(self, networks: Mapping[str, nn.Module], x: Tensor) -> Mapping[str, Tensor]:
        discriminator = networks[DISCRIMINATOR]
        noise = torch.randn(len(x), self._latent, 1, 1, device=x.device)
        with numerics(self.recipe.numerics, x.device):
            samples = networks[GENERATOR](noise)
            real, fake = discriminator(x), discriminator(samples.detach())
            loss = _called(real, 1.0) + _called(fake, 0.0)
        _put_gradients(discriminator, loss)
        self._samples = samples  # the generator's phase learns on these, through the graph that made them
        return {"loss": loss.detach(), "score_real": _score(real), "score_fake": _score(fake)}

    def _generate(self, networks: Mapping[str, nn.Module], device: torch.device) -> Mapping[str, Tensor]:
        samples, self._samples = self._samples, None
        assert samples is not None, "the discriminator's phase comes first"
        with numerics(self.recipe.numerics, device):
            fake = networks[DISCRIMINATOR](samples)
            loss = _called(fake, 1.0)
        _put_gradients(networks[GENERATOR], loss)
        return {"generator_loss": loss.detach(), "score_fake_after": _score(fake)}

    def totals(self, device: torch.device) -> dict[str, Tensor]:
        """Return sums of losses, scores, coarse pixels and their products, in float64."""
        self._fixed(device)  # nothing may be copied to the device while a graph is captured

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.float64, device=device)

        size, made = self.cell.data.channels * COARSE**2, {"generator_loss": zeros()}
        for kind in KINDS:
            made |= {f"{name}_{kind}": zeros() for name in ("count", "loss", "score", "square")}
            made |= {f"pixels_{kind}": zeros(size), f"products_{kind}": zeros(size, size)}
        return made

    def _fixed(self, device: torch.device) -> Tensor:
        if self._noise is None:
            self._noise = fixed_noise(self.cell.seed, EVAL_IMAGES, self._latent).to(device)
        return self._noise

    def test(self, networks: Mapping[str, nn.Module], batches: Batches, totals: Mapping[str, Tensor]) -> Iterator[None]:
        """Compare up to EVAL_IMAGES test images with as many samples, of the same noise after every epoch.

        The discriminator sees them as in training, real images and samples apart, in batches of all classes: what its
        norms keep for evaluation is of both together, and of neither.
        """
        stride, kept = -(-batches.test_images // EVAL_IMAGES), []
        for number, (whole, _) in enumerate(batches.test(EVAL_BATCH)):
            yield
            kept.append(whole[-number * EVAL_BATCH % stride :: stride])
        real = torch.cat(kept)
        noise = self._fixed(batches.device)[: len(real)]
        steps = -(-len(real) // self.recipe.batch_size)
        for first in range(steps):  # every so-manieth, since the images are ordered by class
            yield
            x = real[first::steps].contiguous(memory_format=torch.channels_last)
            with numerics(self.recipe.numerics, x.device):
                samples = networks[GENERATOR](noise[first::steps])
                with _batch_statistics(networks[DISCRIMINATOR]):
                    logits = [networks[DISCRIMINATOR](images) for images in (x, samples)]
            for kind, each, images in zip(KINDS, logits, (x, samples), strict=True):
                _add(totals, kind, each.double(), images)
            totals["generator_loss"].add_(_called(logits[1].double(), 1.0, "sum"))

    def test_metrics(self, totals: Mapping[str, Tensor], batches: Batches) -> dict[str, float]:
        """Return means over the images and samples, and how their coarse pixels differ."""
        count = {kind: int(totals[f"count_{kind}"]) for kind in KINDS}
        mean = {f"{name}_{kind}": float(totals[f"{name}_{kind}"]) / count[kind] for name in SUMMED for kind in KINDS}
        moments = {}
        for kind in KINDS:
            pixels, products = (totals[f"{name}_{kind}"].cpu().numpy() for name in ("pixels", "products"))
            moments[kind] = Moments.of_sums(count[kind], pixels, products)
        square = (mean["square_real"] + mean["square_fake"]) / 2
        score = (mean["score_real"] + mean["score_fake"]) / 2
        finite = all(bool(torch.isfinite(each).all()) for each in totals.values())
        spread = {kind: float(each.covariance.trace()) for kind, each in moments.items()}
        return {
            "loss": mean["loss_real"] + mean["loss_fake"],
            "generator_loss": float(totals["generator_loss"]) / count["fake"],
            "score_real": mean["score_real"],
            "score_fake": mean["score_fake"],
            "score_spread": math.sqrt(max(square - score**2, 0.0)) if finite else math.nan,
            "diversity": spread["fake"] / max(spread["real"], 1e-12),
            "pixel_frechet": frechet_distance(moments["fake"], moments["real"]) if finite else math.nan,
        }

    def train_metrics(self, log: StepLog, images: int, batch_size: int) -> dict[str, float]:
        """Return the means of what is logged over the epoch's images."""
        sizes = torch.full((len(log.metrics["loss"]),), batch_size, dtype=torch.float64)
        sizes[-1] = images - batch_size * (len(sizes) - 1)
        return {name: float((log.metrics[name].double().cpu() * sizes).sum() / images) for name in self.logged}

    def left_chance(self, history: Sequence[Mapping[str, Any]], images: ImageSet) -> bool:
        """Return True: there is no class to guess. `collapse` says what can go wrong instead."""
        return True

    def collapse(self, history: Sequence[Mapping[str, Any]]) -> str:
        """Return what collapsed by the last epoch, in a sentence; "" where nothing did."""
        last = history[-1] if history else {}
        if last.get("test_loss") is None:
            return ""
        spread, diversity = last["test_score_spread"], last["test_diversity"]
        found = []
        if spread < SAME_SCORE:
            score = (last["test_score_real"] + last["test_score_fake"]) / 2
            found.append(f"the discriminator gives all images, real or not, the score {score:.4f} (± {spread:.1e})")
        if last["test_score_real"] > 1 - CERTAIN and last["test_score_fake"] < CERTAIN:
            found.append("the discriminator is certain of every image: real ones score 1 and samples 0")
        if diversity < SAME_IMAGE:
            found.append(f"the generator draws one image whatever its noise ({100 * diversity:.2g} % of the variance)")
        return " and ".join(found)

    @torch.no_grad()
    def save_samples(self, folder: Path, epoch: int, networks: Mapping[str, nn.Module]) -> None:
        """Write a grid of samples of the fixed noise, and the generator's weights: fidelity is computed from them."""
        generator = networks[GENERATOR].eval()
        noise = self._fixed(next(generator.parameters()).device)[: ROWS * ROWS]
        with numerics(self.recipe.numerics, noise.device):
            images = generator(noise)
        files.write_bytes(folder / SAMPLES / f"epoch-{epoch:04d}.png", grid(images.float()))
        notes = {"run": self.cell.run_name, "epoch": epoch}
        save_tensors(folder / GENERATORS / f"epoch-{epoch:04d}.safetensors", generator.state_dict(), notes)


def fixed_noise(seed: int, count: int, latent: int) -> Tensor:
    """Return the noise (count, latent, 1, 1) that a run of that seed is looked at with: the same for all variants."""
    generator = torch.Generator().manual_seed(derived(f"fixed noise {seed}"))
    return torch.randn(count, latent, 1, 1, generator=generator)


def grid(images: Tensor) -> bytes:
    """Return a PNG of ROWS x ROWS images (B, C, H, W) in [0, 1]; places without an image are black."""
    from PIL import Image  # not where no image is drawn

    channels, height, width = images.shape[1:]
    pixels = torch.zeros(ROWS * ROWS, channels, height, width, dtype=torch.uint8)
    pixels[: len(images)] = (images.clamp(0, 1) * 255).round().to(torch.uint8).cpu()[: ROWS * ROWS]
    sheet = pixels.view(ROWS, ROWS, channels, height, width).permute(0, 3, 1, 4, 2)
    whole = sheet.reshape(ROWS * height, ROWS * width, channels).numpy()
    content = io.BytesIO()
    Image.fromarray(whole[..., 0] if channels == 1 else whole).save(content, "PNG")
    return content.getvalue()


@contextmanager
def _batch_statistics(network: nn.Module) -> Iterator[None]:
    """A context in which the network's norms take mean and variance of the batch, and remember nothing of it."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    before = [(norm.training, norm.track_running_stats) for norm in norms]
    try:
        for norm in norms:
            norm.training, norm.track_running_stats = True, False
        yield
    finally:
        for norm, (training, track) in zip(norms, before, strict=True):
            norm.training, norm.track_running_stats = training, track


def _called(logits: Tensor, label: float, reduction: str = "mean") -> Tensor:
    """The cross entropy of images that are called real (1) or not (0)."""
    return cross_entropy(logits, torch.full_like(logits, label), reduction=reduction)


def _score(logits: Tensor) -> Tensor:
    return logits.detach().float().sigmoid().mean()


def _put_gradients(network: nn.Module, loss: Tensor) -> None:
    # Not backward(): the generator's would add to the discriminator's gradients on its way.
    parameters = list(network.parameters())
    for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        parameter.grad = gradient


def _add(totals: Mapping[str, Tensor], kind: str, logits: Tensor, images: Tensor) -> None:
    score = logits.sigmoid()
    coarse = avg_pool2d(images.double(), [side // COARSE for side in images.shape[2:]]).flatten(1)
    added = {
        "count": torch.ones_like(score).sum(),
        "loss": _called(logits, 1.0 if kind == "real" else 0.0, "sum"),
        "score": score.sum(),
        "square": score.square().sum(),
        "pixels": coarse.sum(0),
        "products": coarse.T @ coarse,
    }
    for name, value in added.items():
        totals[f"{name}_{kind}"].add_(value)
