"""Native CPU kernels of the networks and the rasteriser.

Selective scan, convolution, normalisation, pooling, epipolar sampling, plane sweeps, ray layers and the Gaussian
rasteriser: the CPU kernels in C++, readable references of the scan and the rasteriser, and adapters to CUDA packages.
"""

from mvgamba_ros.kernels.conv import causal_conv1d
from mvgamba_ros.kernels.norm import rms_norm
from mvgamba_ros.kernels.scan import selective_scan

__all__ = ["causal_conv1d", "rms_norm", "selective_scan"]
