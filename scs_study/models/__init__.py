"""Architectures, their variants, and the initial weights all variants of an architecture share."""

from scs_study.models.architectures import ARCHITECTURES, Architecture
from scs_study.models.conversion import ConversionReport, convert
from scs_study.models.initialization import InitialWeights, initial_weights
from scs_study.models.variant import (
    build_variant,
    check_cell,
    count_parameters,
    layer_paths,
    not_converted,
    restore_variant,
)

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "ConversionReport",
    "InitialWeights",
    "build_variant",
    "check_cell",
    "convert",
    "count_parameters",
    "initial_weights",
    "layer_paths",
    "not_converted",
    "restore_variant",
]
