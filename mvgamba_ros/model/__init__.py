"""The MVGamba network: tokeniser, Mamba blocks, Gaussian decoder, checkpoint."""
