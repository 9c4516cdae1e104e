"""Reconstructors and segmenters made from options, and kept, so that weights load once."""

from __future__ import annotations

from functools import lru_cache

from mvgamba_ros.config import ReconstructionConfig
from mvgamba_ros.methods.protocol import Method
from mvgamba_ros.options import Options
from mvgamba_ros.registry import load
from mvgamba_ros.segmentation.segmenter import Segmenter

KEPT = 2
"""Of each kind, the last used: an evaluation compares a method with the hull by turns."""


def load_method(options: Options) -> Method:
    """The reconstructor ``options.method``, ready to run.

    Args:
        options: Its factory sees ``method``, ``checkpoint``, ``device`` and ``config``; options with equal values of
            these share one object, whatever else they hold.

    Returns:
        The object that the factory registered under that name makes.

    Raises:
        ReconstructionError: What `mvgamba_ros.registry.load` and the factory raise: BAD_OPTION, BAD_CHECKPOINT,
            MISSING_PACKAGE (``device`` cuda without what it needs).
    """
    return _method(options.method, options.checkpoint, options.device, options.config)


def load_segmenter(options: Options) -> Segmenter:
    """The segmenter ``options.segmenter``, ready to run.

    Args:
        options: Its factory sees ``segmenter``, ``sam_checkpoint``, ``device`` and ``config``; options with equal
            values of these share one object, whatever else they hold.

    Returns:
        The object that the factory registered under that name makes.

    Raises:
        ReconstructionError: What `mvgamba_ros.registry.load` and the factory raise: BAD_OPTION, MISSING_PACKAGE,
            BAD_CHECKPOINT.
    """
    return _segmenter(options.segmenter, options.sam_checkpoint, options.device, options.config)


# A factory gets options that hold nothing but the key: what belongs to one request would be another's the next time.


@lru_cache(maxsize=KEPT)
def _method(name: str, checkpoint: str, device: str, config: ReconstructionConfig) -> Method:
    made: Method = load("methods", name)(Options(method=name, checkpoint=checkpoint, device=device, config=config))
    return made


@lru_cache(maxsize=KEPT)
def _segmenter(name: str, sam_checkpoint: str, device: str, config: ReconstructionConfig) -> Segmenter:
    made: Segmenter = load("segmenters", name)(
        Options(segmenter=name, sam_checkpoint=sam_checkpoint, device=device, config=config)
    )
    return made
