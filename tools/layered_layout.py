"""Sugiyama's layout of a graph in rows: few crossings, arrows nearly upright, boxes of one size.

Sugiyama, Tagawa, Toda, "Methods for visual understanding of hierarchical system structures", 1981: an arrow over
several rows gets a placeholder in each row between; rows are ordered by the barycentres of their neighbours.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

BOX, SLOT, HEIGHT, GAP, RISE = 156.0, 14.0, 66.0, 16.0, 46.0
"""Width of a box and of an arrow that passes between boxes, height of a box, space beside and between rows; pixels."""


Node = str | tuple[str, str, int]
"""A box by its name, or a placeholder: the arrow's upper and lower end, and the row that it passes."""
Point = tuple[float, float]


@dataclass
class Layout:
    """Rows of boxes and placeholders, lowest row first; ``x``: their middles, pixels."""

    rows: list[list[Node]]
    links: list[tuple[Node, Node]]
    x: dict[Node, float] = field(default_factory=dict)

    def width(self, node: Node) -> float:
        return BOX if isinstance(node, str) else SLOT

    def neighbours(self) -> dict[Node, list[Node]]:
        found: dict[Node, list[Node]] = {node: [] for row in self.rows for node in row}
        for a, b in self.links:
            found[a].append(b)
            found[b].append(a)
        return found


def chain(upper: str, lower: str, row: dict[str, int]) -> list[Node]:
    """What an arrow passes, from its upper end to its lower."""
    between = [(upper, lower, r) for r in range(row[upper] - 1, row[lower], -1)]
    return [upper, *between, lower]


def lay_out(row: dict[str, int], arrows: list[tuple[str, str]]) -> Layout:
    """Places every box: few crossings, arrows nearly upright."""
    rows: list[list[Node]] = [[] for _ in range(max(row.values()) + 1)]
    for name in sorted(row):
        rows[row[name]].append(name)
    links: list[tuple[Node, Node]] = []
    for upper, lower in arrows:
        nodes = chain(upper, lower, row)
        links += itertools.pairwise(nodes)
        for r, node in zip(range(row[upper] - 1, row[lower], -1), nodes[1:-1], strict=True):
            rows[r].append(node)
    layout = Layout(rows, links)
    best, least = [list(r) for r in rows], crossings(layout)
    near = layout.neighbours()
    for sweep in range(24):
        order = range(len(rows)) if sweep % 2 == 0 else range(len(rows) - 1, -1, -1)
        place = {node: i / max(len(r) - 1, 1) for r in rows for i, node in enumerate(r)}
        for r in order:
            fixed = set(rows[r - 1] if sweep % 2 == 0 and r else rows[r + 1] if sweep % 2 and r + 1 < len(rows) else [])

            def middle(node: Node, fixed: set[Node] = fixed, place: dict[Node, float] = place) -> float:
                seen = [place[other] for other in near[node] if other in fixed]
                return sum(seen) / len(seen) if seen else place[node]

            rows[r].sort(key=middle)
            place |= {node: i / max(len(rows[r]) - 1, 1) for i, node in enumerate(rows[r])}
        if (count := crossings(layout)) < least:
            best, least = [list(r) for r in rows], count
    layout.rows = best
    place_columns(layout)
    return layout


def crossings(layout: Layout) -> int:
    """How often arrows cross."""
    index = {node: i for row in layout.rows for i, node in enumerate(row)}
    level = {node: r for r, row in enumerate(layout.rows) for node in row}
    count = 0
    for r in range(1, len(layout.rows)):
        ends = [(index[a], index[b]) for a, b in layout.links if level[a] == r]
        count += sum((a - c) * (b - d) < 0 for i, (a, b) in enumerate(ends) for c, d in ends[:i])
    return count


def place_columns(layout: Layout) -> None:
    """Sets ``layout.x``, the middle of every node: near its neighbours, without overlap, in the order of its row."""
    for row in layout.rows:
        at = 0.0
        for node in row:
            layout.x[node] = at + layout.width(node) / 2
            at += layout.width(node) + GAP
        for node in row:
            layout.x[node] -= at / 2
    near = layout.neighbours()
    for sweep in range(60):
        for row in layout.rows if sweep % 2 else layout.rows[::-1]:
            offsets = [0.0]
            for a, b in itertools.pairwise(row):
                offsets.append(offsets[-1] + (layout.width(a) + layout.width(b)) / 2 + GAP)
            wanted = []
            for node, offset in zip(row, offsets, strict=True):
                others = [layout.x[n] for n in near[node]]
                here = layout.x[node]
                wanted.append((0.2 * here + 0.8 * sum(others) / len(others) if others else here) - offset)
            weights = [1.0 if isinstance(node, str) else 2.0 for node in row]
            for node, offset, x in zip(row, offsets, increasing(wanted, weights), strict=True):
                layout.x[node] = x + offset
    left = min(layout.x[node] - layout.width(node) / 2 for row in layout.rows for node in row)
    for node in layout.x:
        layout.x[node] -= left - GAP


def increasing(values: list[float], weights: list[float]) -> list[float]:
    """The nearest sequence, in weighted least squares, that never falls (pool adjacent violators)."""
    pools: list[list[float]] = []  # sum, weight, length
    for value, weight in zip(values, weights, strict=True):
        pools.append([value * weight, weight, 1])
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] > pools[-1][0] / pools[-1][1]:
            total, mass, length = pools.pop()
            pools[-1] = [pools[-1][0] + total, pools[-1][1] + mass, pools[-1][2] + length]
    return [total / mass for total, mass, length in pools for _ in range(int(length))]


class Ports:
    """Where arrows meet boxes: side by side along an edge, in the order of where they come from."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.above: dict[Node, list[Node]] = {}
        self.below: dict[Node, list[Node]] = {}
        for a, b in dict.fromkeys(layout.links):
            self.below.setdefault(a, []).append(b)
            self.above.setdefault(b, []).append(a)
        for ends in (*self.above.values(), *self.below.values()):
            ends.sort(key=lambda node: layout.x[node])

    def _along(self, node: Node, ends: list[Node], other: Node) -> float:
        spread = min(BOX - 30.0, 16.0 * (len(ends) - 1))
        share = ends.index(other) / max(len(ends) - 1, 1) - 0.5
        return self.layout.x[node] + spread * share

    def points(self, nodes: list[Node], edges: list[float]) -> list[tuple[Point, Point]]:
        """Of an arrow through ``nodes`` whose upper edges lie at ``edges``: where it enters and leaves each row."""
        start = self._along(nodes[0], self.below[nodes[0]], nodes[1]), edges[0] + HEIGHT
        end = self._along(nodes[-1], self.above[nodes[-1]], nodes[-2]), edges[-1]
        between = [
            ((self.layout.x[node], edge), (self.layout.x[node], edge + HEIGHT))
            for node, edge in zip(nodes[1:-1], edges[1:-1], strict=True)
        ]
        return [(start, start), *between, (end, end)]


def curve(points: list[tuple[Point, Point]]) -> str:
    """A path that is upright where it passes a row."""
    path = f"M{points[0][1][0]:.1f} {points[0][1][1]:.1f}"
    for (_, (x0, y0)), ((x1, y1), (x2, y2)) in itertools.pairwise(points):
        bend = 0.5 * (y1 - y0)
        path += f" C{x0:.1f} {y0 + bend:.1f} {x1:.1f} {y1 - bend:.1f} {x1:.1f} {y1:.1f}"
        path += f" L{x2:.1f} {y2:.1f}" if y2 != y1 else ""
    return path
