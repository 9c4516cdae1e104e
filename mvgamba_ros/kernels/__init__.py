"""Selective scan, Gaussian rasteriser, epipolar sampling, plane sweeps: a readable reference and a native CPU kernel
each, and adapters to CUDA packages."""

from mvgamba_ros.kernels.conv import causal_conv1d
from mvgamba_ros.kernels.norm import rms_norm
from mvgamba_ros.kernels.scan import selective_scan

__all__ = ["causal_conv1d", "rms_norm", "selective_scan"]
