"""How the mesh's vertices are moved to where pictures and silhouettes agree."""

from __future__ import annotations

from dataclasses import dataclass

from mvgamba_ros.config.bounds import bounded


@dataclass(frozen=True)
class RefinementConfig:
    """Photometric mesh refinement (`surface.photo_refinement`). Weights are relative to one of photometric errors."""

    blurs: tuple[float, ...] = bounded((3.0, 2.0, 1.5, 1.0), 0.3, 50.0)
    """Standard deviations of the pictures' smoothing, pixels of the working picture; a Gauss-Newton step with each,
    coarse first, which reaches further. Twice as many steps bring no more."""
    side: int = bounded(320, 32, 4096)
    """Longer side of the working picture, which shows the silhouette, pixels; an image is never enlarged. Set by hand:
    accuracy against time."""
    points: int = bounded(4000, 100, 1000000)
    """Points of the surface whose pictures are compared. Set by hand: accuracy against time."""
    contrast_window: float = bounded(4.0, 1.0, 50.0)
    """Standard deviation of the neighbourhood whose mean and contrast are taken out of the picture, in those of its
    smoothing. Set by hand."""
    contrast_floor: float = bounded(4.0, 0.1, 255.0)
    """Added to that contrast, grey levels: noise on a bare side is not made texture. Set by hand."""
    outline_margin: float = bounded(1.5, 0.0, 20.0)
    """Nearer to the outline than so many standard deviations of the smoothing the background is in the picture, and is
    not compared. Set by hand."""
    min_cosine: float = bounded(0.2, 0.01, 0.99)
    """A side seen more obliquely is not compared, cosine between ray and normal. Set by hand."""
    max_residual: float = bounded(2.5, 0.1, 100.0)
    """Pictures that differ by more show different things, standard deviations of the local contrast. Set by hand."""
    residual_scale: float = bounded(0.6, 0.01, 100.0)
    """Differences that are larger count less (Cauchy's loss), in the same unit. Set by hand."""
    max_outline_error: float = bounded(3.0, 0.1, 100.0)
    """Outlines of mesh and silhouette that are further apart are not each other's, pixels. Set by hand."""
    outline_scale: float = bounded(2.0, 0.01, 100.0)
    """Larger distances count less (Cauchy's loss), pixels. Set by hand."""
    min_outline_cosine: float = bounded(0.3, 0.0, 1.0)
    """A vertex is held by an outline where its normal, in the picture, is across it: cosine between the two. Set by
    hand."""
    outline_weight: float = bounded(0.03, 0.0, 100.0)
    """Weight of the mean squared motion of the mesh's outlines across themselves, pixels: nothing is compared beside
    them, and they would follow the sides that move: without it a pan's rim ends 0.5 mm further inside the silhouettes.
    Five times less holds half as well."""
    outline_pull: float = bounded(0.0, 0.0, 1.0)
    """Share of their distance from the silhouettes by which outlines are drawn there; 0: they stay. By `mvgamba eval`
    of eight captures, four views, 1 with a weight of 0.006 brings a tall box 0.3 mm nearer to the truth, the mean 0.02
    mm, and costs left-out views 0.7 dB."""
    smoothness: float = bounded(0.75, 1e-6, 1e6)
    """Weight of the mean squared slope of a step over the surface."""
    damping: float = bounded(110.0, 0.0, 1e9)
    """Weight of the mean squared step, shares of the mesh's longest side: sides that no picture holds stay."""
    max_step: float = bounded(0.01, 0.0, 0.2)
    """A vertex moves no further in one step, share of the mesh's longest side; 0: the mesh stays as it is. Set by
    hand."""
    solver_rounds: int = bounded(40, 1, 10000)
    """Rounds of conjugate gradients for each step at most. Set by hand."""
