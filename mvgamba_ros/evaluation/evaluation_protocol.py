"""The evaluation protocol: numbers that define the reported figures.

They are not settings: figures that were made with other values cannot be compared with those in README, MODEL_CARD and
docs. The region of interest is `geometry.boxes.ROI_SCALE` times the object; the F-scores' distances and the points
sampled on surfaces are those of `mvgamba_ros.metrics.shape`.
"""

from __future__ import annotations

HULL_FACES = 200_000
"""The coloured hull that pictures are compared with keeps all its faces, so that its colours are as fine as can be."""
PICTURE_SIDE = 192
"""Pixels of the square around the object in which pictures are compared."""
PICTURE_MARGIN = 1.2
"""Side of that square over the longer side of the object's silhouette."""
ORBIT_VIEWS, ORBIT_ELEVATION, ORBIT_FIELD_OF_VIEW, ORBIT_DISTANCE, ORBIT_SIDE = 8, 30.0, 40.0, 2.0, 512
"""The pictures of a generated shape that CLIP is shown, those of TRELLIS (Xiang et al., arXiv 2412.01506): azimuths
evenly spaced from 0 on, elevation and field of view in degrees, distance in longest sides of the shape's box, pixels a
side."""
