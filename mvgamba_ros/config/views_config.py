"""When two views count as one, and when poses, intrinsics or depth must be wrong."""

from __future__ import annotations

from dataclasses import dataclass

from mvgamba_ros.config.bounds import bounded


@dataclass(frozen=True)
class ViewsConfig:
    """How views from the same place and values that cannot be are recognised (`mvgamba_ros.checks`)."""

    min_distance: float = bounded(1e-3, 0.0, 1.0)
    """Camera centres closer together than this are one place, metres: about how well an arm returns to a pose. Set by
    hand."""
    min_angle: float = bounded(0.2, 0.0, 180.0)
    """Two views from one place that are turned by less than this against each other are one view twice, degrees. Set
    by hand."""
    max_difference: float = bounded(8.0, 0.0, 255.0)
    """The pictures of such a pair differ by no more than this, mean absolute grey levels, else one pose is wrong
    (DUPLICATE_VIEW): lights flicker and sensors are noisy. Set by hand."""
    min_working_distance: float = bounded(0.02, 0.0, 1e6)
    """Cameras nearer than this to what they look at are refused, metres: no lens of a robot's camera focuses there, so
    the poses are in another unit. Set by hand."""
    max_working_distance: float = bounded(20.0, 0.001, 1e12)
    """Cameras further than this from what they look at are refused, metres, and so are regions and support heights of
    that size: in millimetres a camera 0.1 m away would be at 100, one in centimetres 0.3 m away at 30. Captures of
    structure from motion have any scale, most of them cameras 1 to 10 units away. Set by hand."""
    min_field_of_view: float = bounded(5.0, 0.0, 180.0)
    """Least angle over the picture's width or height, degrees, by the pinhole's formula: longer lenses do not look at a
    table. Set by hand."""
    max_field_of_view: float = bounded(150.0, 0.0, 180.0)
    """Largest angle over the picture's width or height, degrees, by the pinhole's formula: wider ones are the mark of a
    focal length in millimetres or as a share of the width; fisheye lenses stay below 120 by this formula. Set by
    hand."""
    principal_point_margin: float = bounded(0.05, -100.0, 0.5)
    """The principal point lies at least this share of the width and height inside the picture; negative: so far
    outside it may be, as where pictures are crops. Lenses are centred to a few percent, and intrinsics of a picture
    twice as large put it into the corner. Set by hand."""
    resized_tolerance: float = bounded(0.02, 0.0, 1.0)
    """Where the principal point is the centre of a picture of the same shape and another size, up to this share of the
    size, the intrinsics are that picture's; 0 allows it, as where pictures are crops. Set by hand."""
    min_depth: float = bounded(0.05, 0.0, 1e6)
    """Measured depth below this is not a depth of a table, metres: depth cameras begin at 0.07 m and more. Set by
    hand."""
    max_depth: float = bounded(10.0, 0.001, 1e12)
    """Measured depth beyond this is not a depth of a table, metres: a table 0.1 m away is at 100 in millimetres. Set by
    hand."""
    min_depth_share: float = bounded(0.05, 0.0, 1.0)
    """Depth with a smaller share of its values between these two is refused (BAD_DEPTH): in another unit hardly any lie
    there, while walls behind a table may fill most of a picture. Set by hand."""
    max_origin_distance: float = bounded(100.0, 1.0, 1e12)
    """Cameras further than this from the world's origin are moved to it for the work and the result is moved back,
    metres: float32 tells points apart to 0.008 mm there. Derived from that."""
    max_grey_range: int = bounded(6, 0, 255)
    """Pictures whose red, green and blue differ by no more than this everywhere are grey, levels: JPEG and debayering
    of mono pictures leave a few. Set by hand."""
