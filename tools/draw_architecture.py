"""Draws docs/architecture.svg, the map of the package, from the imports in its source.

usage: python -m tools.draw_architecture

A room is a folder or a module directly under mvgamba_ros. Each stands above every room that it imports. An arrow is an
import; one that follows from others (a imports b and c, b imports c) is left out. A dashed arrow is a name that is
imported when it is chosen: a string ``"mvgamba_ros.module:attribute"`` in the source.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from html import escape
from pathlib import Path
from textwrap import wrap

from tools.layered_layout import BOX, GAP, HEIGHT, RISE, Ports, chain, curve, lay_out

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "mvgamba_ros"
PICTURE = REPOSITORY / "docs" / "architecture.svg"
MESSAGES = ("msg", "srv", "action")
MESSAGES_ROOM = "msg srv action"
PURPOSES = {MESSAGES_ROOM: "Messages, services and the action, built from the folders of these names."}
"""Of what is not Python; a Python room's purpose is the first line of its docstring."""
BY_NAME = re.compile(r"mvgamba_ros\.(\w+)[\w.]*:\w")
COLORS = {
    "what people start": ("#f9d9a8", "#b97a1e"),
    "runs in every reconstruction": ("#cfe3fb", "#3f7fc4"),
    "training, evaluation, demo, pictures": ("#dcefd6", "#5d9a4c"),
}
"""Fill and border, by what a room is for: readable on white and on black."""
INK, LINE = "#1d2733", "#7b8794"


@dataclass
class Room:
    """One box of the map. ``by_name``: rooms whose attributes it names in strings."""

    purpose: str
    imports: set[str] = field(default_factory=set)
    by_name: set[str] = field(default_factory=set)


def read_rooms(package: Path = PACKAGE) -> dict[str, Room]:
    """Every room of ``package`` by name, read from its source."""
    rooms: dict[str, Room] = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if parts == ("__init__",):
            continue
        room = rooms.setdefault(parts[0], Room(""))
        if len(parts) == 1 or parts[1:] == ("__init__",):
            room.purpose = (ast.get_docstring(tree) or "").split("\n\n")[0].replace("\n", " ")
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                room.imports |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                room.imports |= {f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                room.by_name |= set(BY_NAME.findall(node.value)) - {parts[0]}
    if any(name.split(".")[1:2] and name.split(".")[1] in MESSAGES for room in rooms.values() for name in room.imports):
        rooms[MESSAGES_ROOM] = Room(PURPOSES[MESSAGES_ROOM])
    for name, room in rooms.items():
        targets = {part[1] for part in (x.split(".") for x in room.imports) if part[0] == "mvgamba_ros" and part[1:]}
        room.imports = {MESSAGES_ROOM if target in MESSAGES else target for target in targets} & set(rooms) - {name}
        room.by_name &= set(rooms)
    return rooms


def rows_of(rooms: dict[str, Room]) -> dict[str, int]:
    """The row of every room, 0 the lowest: as low as its imports let it, or as high as its importers let it where more
    arrows come than go. Raises `graphlib.CycleError` where rooms import each other in a circle."""
    row: dict[str, int] = {}
    order = list(TopologicalSorter({name: sorted(rooms[name].imports) for name in sorted(rooms)}).static_order())
    for name in order:
        row[name] = 1 + max((row[other] for other in rooms[name].imports), default=-1)
    arrows = direct_imports(rooms)
    for name in reversed(order):
        importers = [a for a, b in arrows if b == name]
        if len(importers) > sum(a == name for a, _ in arrows):
            row[name] = min(row[a] for a in importers) - 1
    return row


def reachable(rooms: dict[str, Room], start: str, by_name: bool = False) -> set[str]:
    """``start`` and all that it imports, directly or not; ``by_name``: also what is imported when it is chosen."""
    seen, todo = {start}, [start]
    while todo:
        room = rooms[todo.pop()]
        new = (room.imports | (room.by_name if by_name else set())) - seen
        seen |= new
        todo += sorted(new)
    return seen


def direct_imports(rooms: dict[str, Room]) -> list[tuple[str, str]]:
    """The transitive reduction: (importer, imported) of every import that does not follow from others."""
    below = {name: reachable(rooms, name) - {name} for name in rooms}
    return [
        (name, other)
        for name in sorted(rooms)
        for other in sorted(rooms[name].imports)
        if not any(other in below[third] for third in rooms[name].imports)
    ]


def purpose_color(rooms: dict[str, Room]) -> dict[str, str]:
    """The key of `COLORS` of every room."""
    imported = set().union(*(room.imports for room in rooms.values()))
    start, always, other = COLORS
    running = reachable(rooms, "pipeline", by_name=True)
    return {name: always if name in running else other if name in imported else start for name in rooms}


def draw(rooms: dict[str, Room]) -> str:
    """The map as an SVG."""
    row = rows_of(rooms)
    plain = direct_imports(rooms)
    named = [(a, b) for a in sorted(rooms) for b in sorted(rooms[a].by_name) if row[a] != row[b]]
    upright = [(a, b) if row[a] > row[b] else (b, a) for a, b in named]
    layout = lay_out(row, plain + [arrow for arrow in upright if arrow not in plain])
    top = len(layout.rows) - 1
    width = max(layout.x[n] + layout.width(n) / 2 for r in layout.rows for n in r) + GAP
    height = (top + 1) * (HEIGHT + RISE) + 34
    color = purpose_color(rooms)

    def y(r: int) -> float:
        return 8 + (top - r) * (HEIGHT + RISE)

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        'font-family="Helvetica, Arial, sans-serif">',
        "<title>The rooms of mvgamba_ros and what they import</title>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        f'orient="auto-start-reverse"><path d="M0 0.6 L7.5 4 L0 7.4 z" fill="{LINE}"/></marker></defs>',
    ]
    ports = Ports(layout)
    for arrow, dashed in [(a, False) for a in plain] + [(a, True) for a in upright]:
        upper, lower = arrow
        edges = [y(r) for r in range(row[upper], row[lower] - 1, -1)]
        points = ports.points(chain(upper, lower, row), edges)
        if dashed and arrow in plain:  # beside the plain one
            points = [((x0 + 10, y0), (x1 + 10, y1)) for (x0, y0), (x1, y1) in points]
        head = "start" if dashed and arrow not in named else "end"
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        lines.append(
            f'<path d="{curve(points)}" fill="none" stroke="{LINE}" stroke-width="1.3"{dash} '
            f'marker-{head}="url(#head)"/>'
        )
    for name, room in sorted(rooms.items()):
        fill, border = COLORS[color[name]]
        left, edge = layout.x[name] - BOX / 2, y(row[name])
        lines.append(
            f'<rect x="{left:.1f}" y="{edge:.1f}" width="{BOX:.0f}" height="{HEIGHT:.0f}" rx="7" fill="{fill}" '
            f'stroke="{border}" stroke-width="1.2"/>'
        )
        middle = f'x="{layout.x[name]:.1f}" text-anchor="middle" fill="{INK}"'
        lines.append(f'<text {middle} y="{edge + 17:.1f}" font-size="13.5" font-weight="bold">{escape(name)}</text>')
        for i, text in enumerate(shortened(room.purpose)):
            lines.append(f'<text {middle} y="{edge + 32 + 12.5 * i:.1f}" font-size="10.5">{escape(text)}</text>')
    at = GAP
    for text, (fill, border) in COLORS.items():
        lines.append(
            f'<rect x="{at:.1f}" y="{height - 24:.1f}" width="14" height="14" rx="3" fill="{fill}" stroke="{border}"/>'
        )
        lines.append(f'<text x="{at + 20:.1f}" y="{height - 13:.1f}" font-size="12" fill="{LINE}">{text}</text>')
        at += 34 + 6.6 * len(text)
    for text, dash in (("imports", ""), ("imports when chosen by name", ' stroke-dasharray="5 4"')):
        lines.append(
            f'<path d="M{at:.1f} {height - 17:.1f} h28" stroke="{LINE}" stroke-width="1.3"{dash} '
            'marker-end="url(#head)"/>'
        )
        lines.append(f'<text x="{at + 36:.1f}" y="{height - 13:.1f}" font-size="12" fill="{LINE}">{text}</text>')
        at += 50 + 6.6 * len(text)
    return "\n".join([*lines, "</svg>", ""])


def shortened(purpose: str, columns: int = 28, rows: int = 3) -> list[str]:
    """The purpose in at most three lines, up to its first full stop or colon."""
    text = re.split(r"(?<=\w)[.:;]( |$)", purpose.replace("`", ""))[0]
    lines = wrap(text, columns)
    if len(lines) > rows:
        lines = [*lines[: rows - 1], lines[rows - 1][: columns - 2].rsplit(" ", 1)[0] + " …"]
    return lines


def main() -> None:
    PICTURE.write_text(draw(read_rooms()), encoding="utf-8")
    print(PICTURE)


if __name__ == "__main__":
    main()
