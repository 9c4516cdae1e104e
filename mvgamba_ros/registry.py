"""What is found by name: reconstructors and segmenters."""

from __future__ import annotations

from functools import lru_cache

from mvgamba_ros.config.segmentation_config import SegmentationConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.methods.protocol import Method
from mvgamba_ros.options import SEGMENTERS
from mvgamba_ros.segmentation.given import GivenMasks
from mvgamba_ros.segmentation.segmenter import Segmenter


@lru_cache(maxsize=2)
def load_segmenter(name: str, sam_checkpoint: str = "", config: SegmentationConfig = SegmentationConfig()) -> Segmenter:
    """The segmenter called ``name``, ready to run; kept, so that weights load once.

    Raises BAD_OPTION, MISSING_PACKAGE, BAD_CHECKPOINT.
    """
    if name == "masks":
        return GivenMasks()
    if name == "classical":
        from mvgamba_ros.segmentation.classical.classical_segmenter import ClassicalSegmenter

        return ClassicalSegmenter(config)
    if name == "sam":
        from mvgamba_ros.segmentation.sam import SamSegmenter

        return SamSegmenter(sam_checkpoint)
    raise ReconstructionError(ErrorCode.BAD_OPTION, f"segmenter '{name}' is not one of {', '.join(SEGMENTERS)}")


@lru_cache(maxsize=2)
def load_method(name: str, checkpoint: str = "", device: str = "auto") -> Method:
    """The method called ``name``, ready to run; kept, so that weights load once.

    Raises BAD_OPTION, BAD_CHECKPOINT, MISSING_PACKAGE (``device`` cuda without what it needs).
    """
    if name == "hull":
        from mvgamba_ros.methods.hull_surface import HullMethod

        return HullMethod()
    if name == "mvgamba":
        from mvgamba_ros.methods.mvgamba import MVGambaMethod

        return MVGambaMethod(checkpoint, device)
    raise ReconstructionError(ErrorCode.BAD_OPTION, f"method '{name}' is not one of hull, mvgamba")
