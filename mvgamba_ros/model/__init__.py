"""RayGamba, the network after MVGamba: depth along rays; cost volume, Mamba blocks, heads, checkpoint."""
