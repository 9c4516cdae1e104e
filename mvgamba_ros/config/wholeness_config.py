"""When an object counts as seen whole, alone and by its own outline."""

from __future__ import annotations

from dataclasses import dataclass, field

from mvgamba_ros.config.bounds import bounded


@dataclass(frozen=True)
class CompletenessConfig:
    """When the ends of an object count as seen (`mvgamba_ros.surface.completeness`)."""

    max_open: float = bounded(0.03, 0.0, 1.0)
    """A larger share of the outlines' length, [0, 1], that ends on the region's edge, or on a picture's border where no
    others show how the object goes on, makes the result low. Set by hand."""
    min_cut: float = bounded(0.01, 0.0, 1.0)
    """A smaller share of one outline's length on a border or an edge is the outline's own roughness, [0, 1]. Set by
    hand."""
    border: int = bounded(2, 1, 100)
    """An outline this near to the picture's border lies on it, pixels. Set by hand: a segmenter may leave one."""
    edge: float = bounded(0.01, 0.0, 1.0)
    """An outline this near to the region's edge lies on it, of the region's longer side in the picture. Set by hand:
    about two pixels of the windows in which silhouettes are found."""
    beyond: float = bounded(0.05, 0.0, 1.0)
    """Other views are asked whether they show the place this far beyond the border, of the square root of the
    silhouette's area. Set by hand."""
    min_others: int = bounded(2, 1, 64)
    """So many other views with that place in their picture, or all there are, see how the object goes on: fewer leave
    its depth open. Derived: two silhouettes bound a place from all sides."""
    foot: float = bounded(0.05, 0.0, 1.0)
    """An object may end on the region's edge this near above the plane that it stands on, or above the region's lower
    end, of the region's height. Set by hand."""
    min_pictures: int = bounded(3, 1, 64)
    """A part of the visual hull inside fewer pictures is a guess, as is the whole of an object with fewer views
    (`QualityConfig.min_places`). Set by hand."""
    max_outside: float = bounded(0.15, 0.0, 1.0)
    """A larger share of the visual hull's surface inside fewer pictures than that, where pictures cut the object, makes
    the result low, [0, 1]. Set by hand."""


@dataclass(frozen=True)
class NeighborConfig:
    """When several things were taken for one (`mvgamba_ros.surface.standing_parts`)."""

    cells: int = bounded(40, 8, 256)
    """Cells along the hull's longest side in which its parts are sought. Set by hand: accuracy against time."""
    levels: int = bounded(8, 2, 100)
    """Radii of a neck that are tried. Set by hand."""
    thinnest: float = bounded(0.1, 0.0, 1.0)
    """The smallest of them, of the largest inscribed sphere's radius. Set by hand."""
    waist: float = bounded(1.7, 1.0, 100.0)
    """A part is a thing of its own where its inscribed sphere is larger than the neck's by this factor. Set by hand,
    between what single objects and what neighbours show."""
    min_radius: float = bounded(0.35, 0.05, 1.0)
    """The smallest such sphere, of the largest one's radius: handles and spouts are thinner. Set by hand."""
    min_cells: float = bounded(2.0, 0.0, 100.0)
    """The smallest such sphere, of a cell's side: a neck of a thinner thing may be the grid's own. Set by hand."""
    min_share: float = bounded(0.05, 0.0, 1.0)
    """The smallest share of the cells deeper than the neck that is a part, [0, 1]. Set by hand."""
    standing: float = bounded(0.25, 0.0, 10.0)
    """A part stands on the plane where it reaches down to this far above it, of the largest inscribed sphere's radius.
    Set by hand."""


@dataclass(frozen=True)
class OutlineConfig:
    """When outlines follow what the pictures show (`mvgamba_ros.surface.outline_support`)."""

    min_step: float = bounded(10.0, 0.0, 100.0)
    """A smaller step of colour across the outline is none, CIE L*a*b*. Set by hand."""
    reach: int = bounded(2, 1, 20)
    """The step may lie so far beside the outline, and colours are compared this far on both sides of it, pixels of a
    picture with `side`. Set by hand."""
    side: int = bounded(640, 16, 8192)
    """Longer side to which pictures are shrunk, pixels. Set by hand."""
    max_unsupported: float = bounded(0.6, 0.0, 1.0)
    """A larger share of all outlines without a step of colour makes the result low, [0, 1]; a smaller one raises the
    expected error. Chosen on procedural captures under every condition: of 8 results above it all had F@5mm below
    0.8, of 29 between 0.35 and this half had 0.9 or more."""


@dataclass(frozen=True)
class WholenessConfig:
    """When an object counts as seen whole, alone and where it stands (`mvgamba_ros.surface.wholeness`)."""

    completeness: CompletenessConfig = field(default_factory=CompletenessConfig)
    """Ends that nobody saw."""
    neighbors: NeighborConfig = field(default_factory=NeighborConfig)
    """Several things taken for one."""
    outlines: OutlineConfig = field(default_factory=OutlineConfig)
    """Outlines that no picture shows."""
    min_seen: float = bounded(0.65, 0.0, 1.0)
    """A smaller share of the surface that some view sees, of what does not face down, makes the result low, [0, 1]: no
    view of a standing object sees its underside. Chosen on procedural captures under every condition: all three results
    below it had F@5mm below 0.8; from one side 0.6 to 0.75 is usual."""
    facing_down: float = bounded(0.5, 0.0, 1.0)
    """Surface whose normal points down by more than this faces down, [0, 1]. Set by hand: steeper than 30 degrees."""
    one_sided: float = bounded(200.0, 0.0, 360.0)
    """Views that leave a larger gap between them, degrees around the vertical, are from one side: a note says so. Set
    by hand."""
    max_height_error: float = bounded(0.006, 0.0, 1.0)
    """The support plane seen further than this from the height that was given, or the object's lowest point further
    above it, makes the result low, metres. Chosen on procedural captures: four such results, none of them with F@5mm of
    0.8 or more. The plane is measured to a millimetre."""
