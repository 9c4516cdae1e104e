"""Finds the object's silhouette in each view."""

from mvgamba_ros.segmentation.classical import ClassicalSegmenter
from mvgamba_ros.segmentation.given import GivenMasks
from mvgamba_ros.segmentation.segmenter import Segmenter

__all__ = ["ClassicalSegmenter", "GivenMasks", "Segmenter"]
