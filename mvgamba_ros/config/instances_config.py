"""What the learned segmenter makes of the instance network's maps."""

from __future__ import annotations

from dataclasses import dataclass

from mvgamba_ros.config.bounds import bounded


@dataclass(frozen=True)
class InstancesConfig:
    """Objects in a region, from the instance network (`segmentation.multiview`)."""

    weight: float = bounded(1.0, 0.0, 100.0)
    """Factor of the network's log-odds in the cuts, beside those of colours, plane, objectness and depth. This and the
    next three were chosen on procedural tables that no network learned from, and on the captures of
    docs/segmentation.md."""
    other_weight: float = bounded(1.0, 0.0, 100.0)
    """Factor of the network's log-odds that another thing is there, against the object: colours and plane take a
    neighbour for the object."""
    max_for: float = bounded(0.5, 0.0, 100.0)
    """Most log-odds that the network gives for the object: colours and plane know a shadow better."""
    max_against: float = bounded(5.0, 0.0, 100.0)
    """Most log-odds that it gives against the object, and as many again where it sees another thing."""
    min_score: float = bounded(0.25, 0.01, 0.99)
    """Something stands where the map of middles, [0, 1], has a peak of at least this. Set by hand."""
    min_cells: int = bounded(12, 1, 10000)
    """A piece of fewer cells, of `agreement.cells` along the region's longest side, is no thing unless the map of
    middles says so. Set by hand."""
    min_new: float = bounded(0.3, 0.0, 1.0)
    """A piece is no thing where, in half of the views, a smaller share of its outline than this shows what larger
    pieces do not show. Set by hand."""
    whole: float = bounded(0.5, 0.0, 1.0)
    """Several things are searched for in the largest cube that this share of the views shows whole. Set by hand."""
    closer: float = bounded(1.6, 1.0, 10.0)
    """Each of several things is looked at again in a cube of this many times its longest side: it may be several. Set
    by hand."""
    growth: float = bounded(0.2, 0.0, 2.0)
    """The region around something that was found is larger than it by this share of its size on every side: what a
    region of interest has in the scenes that the network learned from."""
    max_share: float = bounded(0.35, 0.05, 1.0)
    """What takes less than this share of the searched region's side is sought again in a smaller one, whose cells are
    finer. Set by hand."""
    max_searches: int = bounded(3, 1, 10)
    """Regions that are searched one inside the other at most. Set by hand."""
    max_moves: int = bounded(4, 0, 20)
    """Times that a region which was guessed moves to what was found in it at most. Set by hand."""
    settled: float = bounded(0.75, 0.0, 1.0)
    """A guessed region stays where the box around what was found in it has this IoU with it, [0, 1]. Set by hand: such
    regions are alike to the network."""
    same: float = bounded(0.5, 0.0, 1.0)
    """Two boxes are one thing's where their IoU is at least this. Set by hand."""
    rival: float = bounded(0.6, 0.0, 1.0)
    """Two could be meant where the second is at least this share as likely as the first: by its score, and by
    how near it is to where the views aim. Set by hand."""
