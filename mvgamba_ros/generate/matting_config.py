"""How an object is told from a plain background; every number of `plain_background`."""

from __future__ import annotations

from dataclasses import dataclass

from mvgamba_ros.config.bounds import bounded


@dataclass(frozen=True)
class MattingConfig:
    """Colours are CIE L*a*b*, distances in it Euclidean (1 is about what one just sees)."""

    side: int = bounded(512, 64, 4096)
    """Longer side of the picture that is worked on, pixels: details of a few pixels of a large photo do not decide what
    is object. Set by hand."""
    border: float = bounded(0.03, 0.005, 0.2)
    """Width of the frame that must be background, as a part of the longer side: a picture of an object has that much
    around it. Set by hand."""
    fits: int = bounded(6, 1, 50)
    """Rounds of fitting the background's colour to the frame, each without what the round before left out; more change
    nothing on photos. Set by hand."""
    min_tolerance: float = bounded(4.0, 0.5, 50.0)
    """Least distance from the background's colour at which a pixel may be object: JPEG and sensors leave 1 to 3. Set by
    hand."""
    max_tolerance: float = bounded(15.0, 1.0, 100.0)
    """A frame that strays further than this is no plain background. Objects nearer to the background's colour than this
    would be lost. Set by hand."""
    deviations: float = bounded(4.0, 1.0, 20.0)
    """The tolerance over the frame's own robust standard deviation: 4 leave out 1 of 16,000 of Gaussian noise."""
    max_crossing: float = bounded(0.1, 0.0, 0.9)
    """Largest part of the frame that may be of other colours than the background: an object may touch one edge, or a
    shadow leave the picture. Set by hand."""
    rounds: int = bounded(3, 1, 20)
    """Of GrabCut, which makes the border of the object follow edges. As its authors took."""
    min_part: float = bounded(0.05, 0.0, 1.0)
    """Pieces of less than this part of the largest one are specks. Set by hand."""
    min_object: float = bounded(0.002, 0.0, 1.0)
    """Least part of the picture that is an object: 23 x 23 of 512 x 512 pixels. Set by hand."""
