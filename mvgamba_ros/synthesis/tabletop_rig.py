"""What tabletop scenes are made of and how they are photographed: every share and range in one place."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mvgamba_ros.config.bounds import bounded


@dataclass(frozen=True)
class TabletopRig:
    """Shares are of scenes unless said otherwise, in [0, 1]. All set by hand, after what robots' tables hold and what
    segmenters get wrong."""

    views: int = bounded(4, 1, 64)
    """Pictures of a scene."""
    width: int = bounded(480, 16, 8192)
    """Of a picture, pixels."""
    height: int = bounded(360, 16, 8192)
    """Of a picture, pixels."""

    source: str = ""
    """Where the objects come from, as of `open_source`; empty: the families, `thin` and `everyday` objects."""
    counts: tuple[float, ...] = bounded((0.22, 0.18, 0.15, 0.13, 0.11, 0.09, 0.07, 0.05), 0.0, 1.0, (1, 254))
    """Shares of scenes with one, two, ... objects."""
    side: tuple[float, float] = bounded((0.035, 0.26), 0.005, 2.0)
    """Longest side of an object, metres; those of the families are scaled into it."""
    reach: float = bounded(0.3, 0.01, 10.0)
    """Farthest that another object's middle may lie from the first one's, metres."""
    thin: float = bounded(0.18, 0.0, 1.0)
    """Share of objects that are thin or perforated: scissors, cutlery, racks, baskets, rings."""
    everyday: float = bounded(0.3, 0.0, 1.0)
    """Share of the others that are soft or of many parts: pouches, cables, remotes, books, bricks, plants, drills."""
    twin: float = bounded(0.12, 0.0, 1.0)
    """Share of the further objects that are the first one again."""
    touching: float = bounded(0.35, 0.0, 1.0)
    """Share of the further objects that stand against another one."""
    near: float = bounded(0.35, 0.0, 1.0)
    """Share of them that stand 3 to 30 mm from another one; the rest stand 5 to 15 cm away."""
    leaning: float = bounded(0.12, 0.0, 1.0)
    """Share of them that lean against another one, where their shapes allow it, which is in a third of the cases."""
    stacked: float = bounded(0.1, 0.0, 1.0)
    """Share of them that lie on another one, where it carries them."""

    white: float = bounded(0.09, 0.0, 1.0)
    """Share of objects that are white all over."""
    dark: float = bounded(0.1, 0.0, 1.0)
    """Share of objects that are nearly black."""
    single: float = bounded(0.12, 0.0, 1.0)
    """Share of objects of one other colour all over."""
    metal: float = bounded(0.08, 0.0, 1.0)
    """Share of objects of bare metal, which mirrors what is about."""
    glossy: float = bounded(0.1, 0.0, 1.0)
    """Share of objects as glossy as glaze."""
    transparent: float = bounded(0.06, 0.0, 1.0)
    """Share of objects of glass or clear plastic."""
    translucent: float = bounded(0.03, 0.0, 1.0)
    """Share of objects whose own colours mix with what is behind them."""

    table_colour: float = bounded(0.22, 0.0, 1.0)
    """The table in the colours of an object, or an object in the table's."""
    pale: float = bounded(0.06, 0.0, 1.0)
    """White objects on a white table."""
    black: float = bounded(0.06, 0.0, 1.0)
    """Dark objects on a dark table."""
    glossy_table: float = bounded(0.18, 0.0, 1.0)
    """A table that mirrors what stands on it."""
    mat: float = bounded(0.35, 0.0, 1.0)
    """Sheets about, blank, printed or with fiducial markers."""
    board: float = bounded(0.1, 0.0, 1.0)
    """Everything on a board 5 to 30 mm thick."""
    tray: float = bounded(0.08, 0.0, 1.0)
    """Everything in a tray with low walls."""
    bin: float = bounded(0.1, 0.0, 1.0)
    """Everything in a bin or box with walls of 5 to 14 cm."""
    edge: float = bounded(0.3, 0.0, 1.0)
    """A table so small that its edge and the room behind it may be seen."""

    hard_shadow: float = bounded(0.4, 0.0, 1.0)
    """A small lamp."""
    pool: float = bounded(0.3, 0.0, 1.0)
    """A lamp that lights a part of the table."""
    shadow_edge: float = bounded(0.12, 0.0, 1.0)
    """The shadow of something large that is out of the picture."""
    stripes: float = bounded(0.04, 0.0, 1.0)
    """Light through a blind or a grille."""
    arm: float = bounded(0.35, 0.0, 1.0)
    """The arm that carries the camera blocks light, and its gripper may be in the picture."""
    hovering: float = bounded(0.1, 0.0, 1.0)
    """A gripper above the objects in some of the views, as of a second arm."""

    distance: tuple[float, float] = bounded((0.3, 0.8), 0.05, 10.0)
    """Camera to its target, metres; farther where the target would not fit the picture."""
    elevation_deg: tuple[float, float] = bounded((20.0, 75.0), 1.0, 90.0)
    """Of the cameras above the table, degrees."""
    spread_deg: tuple[float, float] = bounded((60.0, 360.0), 0.0, 360.0)
    """From the first camera's azimuth to the last one's, degrees."""
    fov_deg: tuple[float, float] = bounded((40.0, 70.0), 5.0, 150.0)
    """Horizontal field of view, degrees."""
    cut_off: float = bounded(0.05, 0.0, 1.0)
    """Share of views whose target reaches past the picture's border."""

    exact: float = bounded(0.2, 0.0, 1.0)
    """Poses without noise."""
    position_noise: float = bounded(3e-3, 0.0, 1.0)
    """Most by which a pose is off, metres."""
    angle_noise_deg: float = bounded(0.4, 0.0, 90.0)
    """Most by which a pose is off, degrees."""
    blurred: float = bounded(0.12, 0.0, 1.0)
    """Share of views blurred by motion."""
    noise: tuple[float, float] = bounded((0.3, 5.0), 1e-3, 255.0)
    """Standard deviation of the noise in mid grey, steps of 255."""
    jpeg_quality: tuple[int, int] = bounded((60, 97), 1, 100)
    """Of the pictures as they are sent."""


@dataclass(frozen=True)
class TabletopRecipe:
    """What a folder of tabletop scenes holds. The same recipe gives the same scenes, whatever renders them."""

    seed: int = 1
    """Of everything in the scenes."""
    count: int = bounded(4_000, 1, math.inf)
    """Scenes in the folder."""
    per_shard: int = bounded(50, 1, math.inf)
    """Scenes in a file, the unit that is written whole: about a minute's work on one core."""
    rig: TabletopRig = TabletopRig()
    """What the scenes are made of."""
