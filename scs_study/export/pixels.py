"""What an exported network takes and gives: pixels as an image file has them, and logits."""

from __future__ import annotations

from torch import Tensor, nn

from scs_study.data.batches import to_inputs


class OfPixels(nn.Module):
    """A network with its preprocessing, so that whoever runs it has none of that to repeat.

    Takes uint8 (B, height, width, channels), gives logits, float32 (B, classes). size: (height, width) at which the
    network was trained; images of another size are resized.
    """

    def __init__(self, network: nn.Module, size: tuple[int, int]) -> None:
        super().__init__()
        self.network = network
        self.size = size

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(to_inputs(images, self.size))
        return logits
