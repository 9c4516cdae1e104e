"""Finds the object's silhouette in each view: `classical` (default), `sam` (an extra), `masks` (the views' own)."""

from mvgamba_ros.segmentation.segmenter import Segmenter

__all__ = ["Segmenter"]
