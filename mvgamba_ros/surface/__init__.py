"""From depth maps to a closed mesh: TSDF integration, silhouette consistency, meshing, denoising, quality."""
