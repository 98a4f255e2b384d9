"""The settings of the fidelity evaluation (conf/fidelity), checked."""

from __future__ import annotations

from dataclasses import dataclass, fields

from omegaconf import DictConfig, OmegaConf

from scs_study.config.schema import check_keys, whole


@dataclass(frozen=True)
class Fidelity:
    """Comments in conf/fidelity/trained.yaml. The choices of the classifier are config groups', its seed is `seed`."""

    arch: str
    layer: str
    activation: str
    pooling: str
    norm: str
    epochs: int
    samples: int
    neighbours: int
    subsets: int
    subset: int
    seed: int

    def __post_init__(self) -> None:
        whole("fidelity.epochs", self.epochs, 1)
        whole("fidelity.samples", self.samples, 2)
        whole("fidelity.neighbours", self.neighbours, 1)
        whole("fidelity.subsets", self.subsets, 1)
        whole("fidelity.subset", self.subset, 2)
        whole("fidelity.seed", self.seed, 0)


def fidelity_of(config: DictConfig) -> Fidelity:
    """Return the checked settings of a composed group conf/fidelity. Raises ValueError in one sentence."""
    values = OmegaConf.to_container(config, resolve=True)
    assert isinstance(values, dict)
    known = {str(key): value for key, value in values.items()}
    check_keys("fidelity.", known, [field.name for field in fields(Fidelity)])
    return Fidelity(**known)
