"""How silhouettes are found: the tree of settings, and those of windows, search, cut, components and borders."""

from __future__ import annotations

from dataclasses import dataclass, field

from mvgamba_ros.config.bounds import bounded
from mvgamba_ros.config.cues_config import (
    ColorConfig,
    DepthCueConfig,
    InitialGuessConfig,
    ObjectnessConfig,
    ShadowConfig,
)
from mvgamba_ros.config.instances_config import InstancesConfig
from mvgamba_ros.config.support_plane_config import PlaneHeightConfig, PlaneMatchingConfig, SupportDepthConfig


@dataclass(frozen=True)
class WindowConfig:
    """The part of each image that is worked on (`segmentation.windows`)."""

    side: int = bounded(224, 16, 4096)
    """Longer side of a window with a region of interest, pixels. Set by hand: accuracy against time."""
    search_side: int = bounded(160, 16, 4096)
    """Longer side of a window while the object is searched for without a region, pixels. Set by hand."""
    margin: float = bounded(0.35, 0, 10)
    """A window reaches beyond the region's outline by this share of its shorter visible side, to learn the background
    from. Set by hand."""
    point_radius: float = bounded(3.0, 0, 1000)
    """A point prompt holds for the pixels this near to it, pixels of the full image. Set by hand."""
    min_depth: float = bounded(1e-3, 1e-6, 1)
    """A point nearer to the camera's plane than this, or behind it, is not projected, metres. Set by hand."""
    min_axis_spread: float = bounded(1e-3, 0, 1)
    """Smallest eigenvalue per view, [0, 1], of the normal matrix that intersects the optical axes; below it they are
    parallel (BAD_ROI). Set by hand. No effect on the sample of docs/segmentation.md from half to twice this."""
    outline_reach: float = bounded(4.0, 1.0, 1000.0)
    """The outline of a region that passes close to a camera is clipped at this distance from the image's origin, longer
    sides of the image. Set by hand."""
    camera_clearance: float = bounded(0.95, 0.1, 1.0)
    """A region that is guessed reaches at most this share of the way from its centre to the nearest camera, along the
    axis on which that is furthest off, [0, 1]. Set by hand."""
    min_depth_share: float = bounded(0.1, 0.0, 1.0)
    """A single view's depth says how far away its pixel box is where more than this share of the box has one, [0, 1].
    Set by hand."""
    front_quantile: float = bounded(0.005, 0.0, 1.0)
    """Quantile of the depths in the pixel box of a single view where the object may begin, [0, 1]. Set by hand: above
    single wrong readings, below what a thin part covers."""
    single_view_reach: float = bounded(2.0, 0.1, 100)
    """Behind that the object of a single view may reach this many times the pixel box's longer side. Set by hand."""
    outline_steps: int = bounded(12, 2, 100)
    """Points along each side of the grid that stands for a region partly behind a camera: those in front of it give
    the outline. Set by hand."""


@dataclass(frozen=True)
class SearchConfig:
    """The object's bounds without a region of interest (`segmentation.classical.object_search`)."""

    min_background: float = bounded(0.15, 0, 1)
    """A region that leaves a smaller share of the windows, [0, 1], as background is treated as if there were no region.
    Set by hand. No effect on the sample of docs/segmentation.md from half to twice this."""
    rim: float = bounded(0.125, 0.01, 0.5)
    """Background of a window that is searched: this share of its height and width at each border. Set by hand."""
    center_prior: float = bounded(1.5, 0, 100)
    """Log-odds that a pixel at the edge of the searched area loses against one at its centre; grows with the square of
    the distance. Set by hand."""
    lying_share: float = bounded(0.8, 0, 1)
    """What was found lies flat on the support plane (a mat, a sheet) where this share of its pixels, [0, 1], is on the
    silhouettes of the other views through the plane. Set by hand. No effect on the sample of docs/segmentation.md from
    half to twice this."""
    lying_views: float = bounded(0.5, 0, 1)
    """A pixel lies on the plane where more than this share of the views that see it, [0, 1], agree. Set by hand. No
    effect on the sample of docs/segmentation.md from half to twice this."""
    standing_share: float = bounded(0.4, 0, 1)
    """What stands on a mat or a sheet that was found is taken for the object where it has less than this share of the
    mat's pixels, [0, 1]; the rest of a plate has more. Set by hand. No effect on the sample of docs/segmentation.md
    from half to twice this."""
    growth: float = bounded(0.25, 0, 10)
    """The region around what was found is larger than it by this share of its size on every side. Set by hand."""
    views: int = bounded(8, 2, 64)
    """At most so many views are searched, those that lie furthest apart around the middle. Set by hand: bounds need no
    more, and each view more may be the one that misses a part."""
    max_growths: int = bounded(3, 0, 20)
    """Times that a region around what was found may grow on, where outlines still end on its edge. Set by hand."""
    min_at_edge: float = bounded(0.02, 0.0, 1.0)
    """Outlines end on the region's edge where more than this share of one, [0, 1], lies there. Set by hand."""
    min_vote: float = bounded(-0.3, -1, 1)
    """A grid cell is on the object where no view's vote, [-1, 1], is below this. Set by hand."""


@dataclass(frozen=True)
class AgreementConfig:
    """Silhouette consistency between views on a grid over the region (`segmentation.silhouette_agreement`)."""

    cells: int = bounded(44, 4, 256)
    """Grid cells along the region's longest side. Set by hand: accuracy against time."""
    cell_pixels: float = bounded(1.2, 0.5, 10)
    """Votes are gathered from windows shrunk to pixels of this many projected cells, so that neighbouring cells leave
    no gaps. Set by hand."""
    out_of_sight_log_odds: float = bounded(-1.0, -100, 0)
    """Log-odds that a view gives to cells outside its window: mostly all views show the object whole. Set by hand."""
    max_belief: float = bounded(4.0, 0.1, 100)
    """A view's own log-odds are clipped to this before they vote. Set by hand."""
    label_belief: float = bounded(3.0, 0, 100)
    """Log-odds of the vote of a label; its share grows from none in the first round to all in the last. Set by hand."""
    blur: float = bounded(1.5, 0.1, 100)
    """Standard deviation of the smoothing of log-odds before they vote, window pixels. Set by hand."""
    min_log_odds: float = bounded(-4.0, -100, 0)
    """The other views' log-odds on a pixel are clipped from below to this. Set by hand. No effect on the sample of
    docs/segmentation.md from half to twice this."""
    max_log_odds: float = bounded(1.0, 0, 100)
    """The other views' log-odds on a pixel are clipped from above to this: that other views allow the object on a ray
    does not show that it is there. Set by hand."""
    floor_margin: float = bounded(0.01, 0, 1)
    """Cells lower above the support plane than this share of the region's shortest side are left out. Set by hand."""
    search_floor: float = bounded(0.5, 0, 100)
    """In a search cells may be higher than the object: they are left out lower than this many cells below the plane.
    Set by hand."""
    min_pixels: int = bounded(12, 1, 10000000)
    """A silhouette of fewer window pixels is empty (EMPTY_SILHOUETTE), and takes no part in the agreement. Set by hand.
    No effect on the sample of docs/segmentation.md from half to twice this."""
    min_explained: float = bounded(0.5, 0, 1)
    """Silhouettes disagree (SILHOUETTES_DISAGREE) where their common hull covers less than this share, [0, 1], of any
    of them. Set by hand."""
    hull_vote: float = bounded(-0.5, -1, 1)
    """A grid cell is in the silhouettes' common hull where no view's vote, [-1, 1], is below this. Set by hand. No
    effect on the sample of docs/segmentation.md from half to twice this."""


@dataclass(frozen=True)
class GraphCutConfig:
    """Alternation of minimum cut and learning (`segmentation.classical.window_segmentation`, `graph_cut`)."""

    rounds: int = bounded(4, 1, 100)
    """Cuts of every window at most. Most objects settle after three; fine tips take longer."""
    settled: float = bounded(0.99, 0, 1)
    """The rounds end where the labels before and after a cut have this IoU, [0, 1]. Set by hand."""
    smoothness: float = bounded(1.6, 0.01, 100)
    """Cost of a border through flat colour, log-odds per pixel of its length. Set by hand."""
    max_evidence: float = bounded(6.0, 0.1, 100)
    """Evidence is clipped to this, log-odds; it is stored in 8 bits. Set by hand."""
    off_log_odds: float = bounded(-6.0, -100, 0)
    """Log-odds outside the region, once colours are learned. Set by hand. No effect on the sample of
    docs/segmentation.md from half to twice this."""
    object_margin: int = bounded(2, 0, 100)
    """Background colours are learned no nearer to the labels than this, window pixels. Set by hand. No effect on the
    sample of docs/segmentation.md from half to twice this."""


@dataclass(frozen=True)
class ComponentConfig:
    """Connected components and holes of the labels (`segmentation.classical.components`)."""

    joined: float = bounded(0.05, 0, 1)
    """Components are one where the gap between them is smaller than this share of the window's longer side. Set by
    hand. No effect on the sample of docs/segmentation.md from half to twice this."""
    center_weight: float = bounded(2.0, 0, 100)
    """A pixel weighs exp(-(this * distance from the centre)^2) when the largest component is chosen, where the edge of
    the region is at distance 1. Set by hand. No effect on the sample of docs/segmentation.md from half to twice
    this."""
    min_island: float = bounded(0.03, 0, 1)
    """Islands smaller than this share of the largest component are removed. Set by hand. No effect on the sample of
    docs/segmentation.md from half to twice this."""
    min_hole: float = bounded(0.01, 0, 1)
    """Holes smaller than this share of the silhouette are filled whatever they show: one left open by mistake cuts a
    tunnel through the object, one filled by mistake costs next to nothing. Set by hand. No effect on the sample of
    docs/segmentation.md from half to twice this."""
    hole_log_odds: float = bounded(-2.2, -100, 100)
    """A hole is filled as a print in the background's colours where its `hole_percentile` of log-odds is above this:
    through a true hole nothing but background is seen. Set by hand."""
    hole_percentile: float = bounded(90.0, 0, 100)
    """Percentile of the log-odds in a hole, [0, 100]. Set by hand. No effect on the sample of docs/segmentation.md at
    half this."""


@dataclass(frozen=True)
class BorderConfig:
    """The last cut, in a narrow band at a higher resolution (`segmentation.classical.border`)."""

    side: int = bounded(640, 16, 4096)
    """Longer side of a window while its border is refined, pixels. Set by hand: accuracy against time."""
    band: float = bounded(1.5, 0.5, 100)
    """Half the band's width, pixels of the coarse window. Set by hand."""
    beside: int = bounded(8, 1, 1000)
    """Colours are learned up to this far beside the band, pixels of the fine window. Set by hand. No effect on the
    sample of docs/segmentation.md from half to twice this."""
    blur: float = bounded(0.8, 0.1, 100)
    """Standard deviation of the smoothing of the coarse labels, pixels of the coarse window. Set by hand."""
    max_color_log_odds: float = bounded(3.0, 0, 100)
    """The log-ratio of the two sides' colours is clipped to this. Set by hand."""
    color_weight: float = bounded(0.6, 0, 100)
    """Weight of the log-ratio of the two sides' colours. Set by hand."""
    coarse_weight: float = bounded(0.3, 0, 100)
    """Weight of the coarse window's log-odds. Set by hand."""
    label_log_odds: float = bounded(4.0, 0, 100)
    """Log-odds between a coarse label of 0 and of 1. Set by hand."""
    smoothness: float = bounded(1.6, 0.01, 100)
    """Cost of a border through flat colour, log-odds per pixel of its length. Set by hand. No effect on the sample of
    docs/segmentation.md from half to twice this."""


@dataclass(frozen=True)
class SamConfig:
    """Segment Anything (`segmentation.sam`)."""

    kept_embeddings: int = bounded(16, 1, 10000)
    """Image embeddings kept, the newest; one is 4 MiB, of Segment Anything 2 16 MiB. Set by hand."""


@dataclass(frozen=True)
class SegmentationConfig:
    """How silhouettes are found, for every segmenter and for the height of the support plane."""

    windows: WindowConfig = field(default_factory=WindowConfig)
    """The part of each image that is worked on."""
    search: SearchConfig = field(default_factory=SearchConfig)
    """The object's bounds without a region of interest."""
    color: ColorConfig = field(default_factory=ColorConfig)
    """Colour models."""
    shadow: ShadowConfig = field(default_factory=ShadowConfig)
    """Cast shadows, and sides away from the light."""
    depth: DepthCueConfig = field(default_factory=DepthCueConfig)
    """Measured depth as evidence."""
    objectness: ObjectnessConfig = field(default_factory=ObjectnessConfig)
    """The objectness network's log-odds."""
    initial: InitialGuessConfig = field(default_factory=InitialGuessConfig)
    """First labels."""
    plane: PlaneMatchingConfig = field(default_factory=PlaneMatchingConfig)
    """Comparison of views through the support plane."""
    plane_height: PlaneHeightConfig = field(default_factory=PlaneHeightConfig)
    """Search for the support plane's height."""
    support_depth: SupportDepthConfig = field(default_factory=SupportDepthConfig)
    """The support plane from measured depth."""
    agreement: AgreementConfig = field(default_factory=AgreementConfig)
    """Silhouette consistency between views."""
    graph_cut: GraphCutConfig = field(default_factory=GraphCutConfig)
    """Alternation of minimum cut and learning."""
    components: ComponentConfig = field(default_factory=ComponentConfig)
    """Connected components and holes of the labels."""
    border: BorderConfig = field(default_factory=BorderConfig)
    """The last cut, at a higher resolution."""
    instances: InstancesConfig = field(default_factory=InstancesConfig)
    """Objects by the instance network."""
    sam: SamConfig = field(default_factory=SamConfig)
    """Segment Anything."""
