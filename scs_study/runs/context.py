"""Where and how the runs of a process are computed: folders, device, engine, data."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from scs_study.config.schema import CHECKPOINT, CellConfig, DataConfig, cell_from_dict, choice, flag, whole
from scs_study.data import ImageSet, check_batch_size, load_images
from scs_study.layers import cpu
from scs_study.models import initial_weights
from scs_study.models.architectures import architecture
from scs_study.models.pretrained import read_checkpoint, store_checkpoint
from scs_study.models.variant import check_last_batch
from scs_study.runs.state import INITIAL
from scs_study.system.files import check_path, read_json
from scs_study.system.places import PROJECT, below_project, user_path
from scs_study.training.run import ENGINES, Settings
from scs_study.training.run_dir import CONFIG

DEVICES = ("cpu", "cuda")
NVIDIA = Path("/dev/nvidia0")
"""Where Linux shows the first NVIDIA GPU that has a driver."""
_LOADING = threading.Lock()


@dataclass
class RunContext:
    """What the runs of one process share: folders, settings, images already loaded."""

    runs: Path
    settings: Settings
    data_root: Path | None
    data_cache: Path
    retry_failed: bool = True
    _images: dict[str, ImageSet] = field(default_factory=dict)

    def images(self, data: DataConfig, download: bool = False) -> ImageSet:
        """Return the images of a cell, loaded once a process. Raises DataError (a ValueError) in one sentence."""
        with _LOADING:  # else threads that begin together would load the same twice
            if data.images_key not in self._images:
                self._images[data.images_key] = load_images(data, self.data_root, self.data_cache, download)
            return self._images[data.images_key]

    def check_batches(self, cells: Iterable[CellConfig]) -> None:
        """Raise ValueError in one sentence for a cell whose batches its training set cannot fill, or its norms use."""
        for cell in cells:
            images = self.images(cell.data)
            check_batch_size(cell.train.batch_size, images)
            check_last_batch(cell, len(images.train_labels))


def run_context(config: DictConfig) -> RunContext:
    """Return the folders and settings that a composed config names. Relative folders are below the project's own."""
    engine = config.engine
    if engine.threads is not None:
        torch.set_num_threads(whole("engine.threads", engine.threads, 1))
    device = str(engine.device)
    if OmegaConf.select(config, "launch.name") == "slurm" and device != "auto" and not _here(_named(device)):
        device = "auto"  # the word is for the nodes; the machine that one submits from need not have such a GPU
    name = choice("engine.name", engine.name, ENGINES)
    kernels, root = choice("engine.kernels", engine.kernels, cpu.KERNELS), config.data.root
    cpu.choose(kernels)
    if root is not None:
        check_path("data.root", Path(str(root)))
    every = whole("engine.checkpoint_every", engine.checkpoint_every, 1)
    return RunContext(
        runs=below_project(config.runs),
        settings=Settings(pick_device(device), name, every, kernels=kernels),
        data_root=user_path("data.root", root) if root is not None and root != "" else None,
        data_cache=PROJECT / "data" / ".cache",  # so the data's default folder is data/ (data.load_images)
        retry_failed=flag("retry_failed", config.retry_failed),
    )


def pick_device(name: str) -> torch.device:
    """Return the device that engine.device names.

    Raises ValueError when this machine has none such, and for auto where there is a GPU that torch cannot use: days on
    a CPU in place of hours are not what was meant.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        if NVIDIA.exists() and os.environ.get("CUDA_VISIBLE_DEVICES", "0") not in ("", "-1"):
            raise ValueError(
                f"engine.device=auto: this machine has a GPU ({NVIDIA}), but torch {torch.__version__} cannot use it; "
                "is its driver too old (nvidia-smi)? engine.device=cpu trains without it"
            )
        return torch.device("cpu")
    device = _named(name)
    if not _here(device):
        raise ValueError(f"engine.device={name}: this machine has {torch.cuda.device_count()} CUDA devices")
    return device


def _named(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"engine.device={name}: not a device; choose auto, cpu or cuda") from error
    choice("engine.device", device.type, DEVICES)
    return device


def _here(device: torch.device) -> bool:
    return device.type != "cuda" or (device.index or 0) < torch.cuda.device_count()


def check_checkpoint(cells: Sequence[CellConfig], overrides: Mapping[str, Any]) -> None:
    """Raise ValueError when `init.checkpoint` is given and has no effect on any of the cells."""
    path = overrides.get("init.checkpoint")
    if path is not None and not any(CHECKPOINT.search(cell.init) for cell in cells):
        raise ValueError(f"init.checkpoint={path} has no effect: no cell starts from pretrained weights")


def place_checkpoint(config: DictConfig, cells: Sequence[CellConfig], overrides: Mapping[str, Any]) -> None:
    """Put the weights that `init.checkpoint` names beside the runs, where the workers look for them.

    Raises ValueError when weights from a file that a cell starts from are not there or do not fit it.
    """
    path, folder = overrides.get("init.checkpoint"), below_project(config.runs) / INITIAL
    starts = {(cell.arch, cell.seed, cell.init, cell.data.ends) for cell in cells if CHECKPOINT.search(cell.init)}
    if starts and path is not None and not CHECKPOINT.fullmatch(str(path)):
        try:
            given = user_path("init.checkpoint", path)
            for arch in {cell.arch for cell in cells if architecture(cell.arch).frozen}:
                _check_backbone(arch, given)
            store_checkpoint(read_checkpoint(given), folder)
        except OSError as error:
            raise ValueError(f"runs={config.runs}: nothing can be written there: {error.strerror or error}") from error
    for arch, seed, scheme, ends in starts:
        initial_weights(arch, seed, scheme, folder, ends=ends)


def _check_backbone(arch: str, path: Path) -> None:
    """Do nothing for weights that a frozen backbone computes with as their run did. Raises ValueError in one sentence.

    Names and shapes of weights do not tell a convolution with ReLU and max pooling from others: a run's config does.
    """
    config = (path if path.is_dir() else path.parent) / CONFIG
    if not config.is_file():
        return
    run = cell_from_dict(read_json(config))
    if (run.layer.name, run.activation, run.pooling) != ("conv", "relu", "max"):
        variant = f"layer={run.layer.name} activation={run.activation} pooling={run.pooling}"
        raise ValueError(
            f"init.checkpoint={path}: its network has {variant}, and the backbone of {arch} layer=conv "
            "activation=relu pooling=max"
        )
