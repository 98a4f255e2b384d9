"""Trained networks leave the harness: as ONNX, as torch.export's program, as a Keras model; each is checked."""

from scs_study.export.agreement import Agreement
from scs_study.export.leave import FORMATS, Exported, export_run

__all__ = ["FORMATS", "Agreement", "Exported", "export_run"]
