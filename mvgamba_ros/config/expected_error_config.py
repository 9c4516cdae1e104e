"""How far a mesh is expected to be off the true surface."""

from __future__ import annotations

from dataclasses import dataclass

from mvgamba_ros.config.bounds import bounded


@dataclass(frozen=True)
class ExpectedErrorConfig:
    """The log-linear model of expected error and what its features are read with, see surface/expected_error.py."""

    weights: tuple[float, ...] = bounded(
        (-1.604, 0.146, 0.0, 0.02, 0.161, -0.281, 0.394, 0.083, 0.641, 1.429, 0.06, 0.99, 0.359, 1.667, 0.363),
        -20.0, 20.0,
    )  # fmt: skip
    """The features' weights, in the order of `expected_error.COLUMNS`. Fitted to procedural objects by
    benchmarks/expected_error.py, which says how."""
    least_mm: float = bounded(0.1, 0.0, 1000.0)
    """Expected error is never less, mm: that of a pose, a lens and a scale at their best. Set by hand."""
    pixels: float = bounded(1.0, 0.0, 10.0)
    """An outline gap or photo residual of so many pixels is that of any picture, and counts as none. Chosen on
    procedural captures: where nothing is wrong, 0.5 to 1 remain."""
    max_level: float = bounded(250.0, 1.0, 255.0)
    """Brighter colours are not compared between views, grey levels: they may be saturated. Set by hand."""
    band: float = bounded(0.04, 0.001, 1.0)
    """A depth map tells of a vertex at most this far inside its surface, beside the map's own uncertainty, of the
    mesh's longest side: about the truncation of the TSDF. Set by hand."""
    sigma_reach: float = bounded(3.0, 0.1, 100.0)
    """Standard deviations of a map that are its uncertainty there. Set by hand, as in the TSDF."""
    min_cosine: float = bounded(0.15, 0.01, 1.0)
    """Distances to a map's surface that is seen at a smaller cosine are taken as if at this one. Set by hand, as in the
    TSDF."""
    min_known: float = bounded(0.5, 0.0, 1.0)
    """A map tells of a vertex where more than this share of the pixels around its projection have a depth, [0, 1]. Set
    by hand."""
    contact: float = bounded(0.02, 0.0, 1.0)
    """A vertex no higher than this above the support plane rests on it, of the mesh's longest side. Set by hand."""
