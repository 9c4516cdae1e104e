"""Selective scan and Gaussian rasteriser: a readable reference, a native CPU kernel and a CUDA adapter each."""
