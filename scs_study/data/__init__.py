"""Where images come from, and the batches that a run is trained on."""

from scs_study.data.batches import Batches, Plan, check_batch_size
from scs_study.data.image_set import DataError, ImageSet
from scs_study.data.load import load_images

__all__ = ["Batches", "DataError", "ImageSet", "Plan", "check_batch_size", "load_images"]
