"""The pairs of an adversarial run at 64 pixels: DCGAN, zimonitrome's SCS-GAN and the hybrid of both (systems.md 5).

Each is the plain network it is, of nn.ConvTranspose2d and nn.Conv2d, and its sharpened variants are made by swapping
them as everywhere. Images are in [0, 1] at both ends, as all networks here have them; inside they are in [-1, 1].
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from scs_study.models.resnet import Standardise

SIDE = 64
"""Height and width of the images in pixels."""
LATENT = 100
"""Numbers of a generator's input."""
GENERATOR, DISCRIMINATOR = 64, 16
"""Channels of the generator's last hidden layer and of the discriminator's first."""
DEVIATION = 0.02
"""Of DCGAN's normal law of initial weights."""


class Abs(nn.Module):
    """The absolute value, which SCS-GAN has in the place of an activation."""

    def forward(self, x: Tensor) -> Tensor:
        """Return |x|."""
        return x.abs()


class Pixels(nn.Module):
    """From the range of tanh to that of pixels, [0, 1]."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (x + 1) / 2."""
        return (x + 1) / 2


class KeptConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution that stays one in every variant."""


class Generator(nn.Sequential):
    """Noise (B, `latent`, 1, 1) to images (B, C, 64, 64) in [0, 1]."""

    latent = LATENT


class Pair(nn.Module):
    """A generator, and the discriminator that tells its images from real ones."""

    def __init__(self, generator: Generator, discriminator: nn.Module) -> None:
        super().__init__()
        self.generator, self.discriminator = generator, discriminator

    def forward(self, images: Tensor) -> Tensor:
        """Return for images (B, C, 64, 64) in [0, 1] the discriminator's logits (B,), large for real ones."""
        logits: Tensor = self.discriminator(images)
        return logits


def _dcgan_generator(channels: int, kind: type[nn.ConvTranspose2d] = nn.ConvTranspose2d) -> Generator:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    before = LATENT
    for number, factor in enumerate((8, 4, 2, 1), start=1):
        stride, padding = (1, 0) if number == 1 else (2, 1)
        layers[f"conv{number}"] = kind(before, factor * GENERATOR, 4, stride, padding, bias=False)
        layers[f"norm{number}"] = nn.BatchNorm2d(factor * GENERATOR)
        layers[f"act{number}"] = nn.ReLU()
        before = factor * GENERATOR
    layers |= {"out": kind(before, channels, 4, 2, 1, bias=False), "tanh": nn.Tanh(), "pixels": Pixels()}
    return Generator(layers)


def _scs_generator(channels: int) -> Generator:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    before = LATENT
    for number, factor in enumerate((8, 4, 2, 1), start=1):
        stride, padding = (1, 0) if number == 1 else (2, 1)
        layers[f"conv{number}"] = nn.ConvTranspose2d(before, factor * GENERATOR, 4, stride, padding, bias=False)
        layers[f"act{number}"] = nn.LeakyReLU()
        before = factor * GENERATOR
    layers |= {"out": KeptConvTranspose2d(before, channels, 4, 2, 1), "tanh": nn.Tanh(), "pixels": Pixels()}
    return Generator(layers)


def _signed(channels: int) -> Standardise:
    return Standardise((0.5,) * channels, (0.5,) * channels)


def _dcgan_discriminator(channels: int) -> nn.Module:
    layers: OrderedDict[str, nn.Module] = OrderedDict(signed=_signed(channels))
    before = channels
    for number, factor in enumerate((1, 2, 4, 8), start=1):
        layers[f"conv{number}"] = nn.Conv2d(before, factor * DISCRIMINATOR, 4, 2, 1, bias=False)
        if number > 1:
            layers[f"norm{number}"] = nn.BatchNorm2d(factor * DISCRIMINATOR)
        layers[f"act{number}"] = nn.LeakyReLU(0.2)
        before = factor * DISCRIMINATOR
    layers |= {"conv5": nn.Conv2d(before, 1, 4, bias=False), "flatten": nn.Flatten(0)}
    return nn.Sequential(layers)


def _scs_discriminator(channels: int) -> nn.Module:
    layers: OrderedDict[str, nn.Module] = OrderedDict(signed=_signed(channels))
    before = channels
    for number, factor in enumerate((1, 2, 4, 8), start=1):
        layers[f"conv{number}"] = nn.Conv2d(before, factor * DISCRIMINATOR, 4, 2, 1)
        layers[f"act{number}"] = Abs()
        before = factor * DISCRIMINATOR
    layers |= {"conv5": nn.Conv2d(before, 1, 2, 2), "flatten": nn.Flatten()}
    layers |= {"head": nn.Linear(4, 1), "logit": nn.Flatten(0)}
    return nn.Sequential(layers)


def _drawn(network: nn.Module) -> None:
    """Draw weights by DCGAN's law: N(0, 0.02) for kernels, N(1, 0.02) for the gains of norms."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, 0.0, DEVIATION)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, DEVIATION)


def dcgan(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """DCGAN: 3,574,656 and 174,784 parameters with grey images; the classes are not looked at."""
    pair = Pair(_dcgan_generator(in_channels), _dcgan_discriminator(in_channels))
    _drawn(pair)
    return pair


def scs_gan(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """SCS-GAN's pair without norms: 3,572,741 and 173,051 parameters with grey images and layer=scs_gan.

    The generator's last layer stays a convolution. As in the public code DCGAN's law is the discriminator's alone.
    """
    pair = Pair(_scs_generator(in_channels), _scs_discriminator(in_channels))
    _drawn(pair.discriminator)
    return pair


def scs_gan_hybrid(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """DCGAN's generator, whose convolutions stay, against SCS-GAN's discriminator."""
    pair = Pair(_dcgan_generator(in_channels, KeptConvTranspose2d), _scs_discriminator(in_channels))
    _drawn(pair)
    return pair
