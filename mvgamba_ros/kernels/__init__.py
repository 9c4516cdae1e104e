"""Selective scan and Gaussian rasteriser: a readable reference, a native CPU kernel and a CUDA adapter each."""

from mvgamba_ros.kernels.conv import causal_conv1d
from mvgamba_ros.kernels.norm import rms_norm
from mvgamba_ros.kernels.scan import selective_scan

__all__ = ["causal_conv1d", "rms_norm", "selective_scan"]
