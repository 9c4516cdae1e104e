"""Random surface pictures: plastic, cardboard, wood, metal, fruit skin, and printed labels with text-like marks.

Every function draws one (S, S, 3) uint8 sRGB tile from a generator, and nothing else decides what it draws.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import cv2
import numpy as np

from mvgamba_ros.types import F32, U8

Rng = np.random.Generator
Color = tuple[float, float, float]

TILE = 192
"""Pixels along a tile: finer than a crop of 96 pixels can show of one face."""

_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_HERSHEY_SCRIPT_SIMPLEX)
_LETTERS = "ABCDEFGHIKLMNOPRSTUVWYaeiounrst"


def color(rng: Rng, saturation: tuple[float, float] = (0.0, 1.0), value: tuple[float, float] = (0.1, 1.0)) -> Color:
    """A colour in [0, 255] with the saturation and value given. Reds to yellows are twice as likely as
    the other hues, and where the saturation may be nought a fifth are whites and greys, as among things in shops."""
    hue = rng.uniform(-0.05, 0.17) % 1.0 if rng.random() < 0.3 else rng.random()
    s, v = rng.uniform(*saturation), rng.uniform(*value)
    if saturation[0] == 0 and rng.random() < 0.2:
        s, v = 0.1 * s, value[1] - (value[1] - v) * rng.choice([0.2, 1.0])
    r, g, b = colorsys.hsv_to_rgb(hue, s, v)
    return (255 * r, 255 * g, 255 * b)


def noise(rng: Rng, octaves: tuple[int, ...] = (4, 12, 48), size: int = TILE) -> F32:
    """(size, size) smooth noise of about unit variance: grids of the given numbers of cells, coarse ones stronger."""
    out = np.zeros((size, size), np.float32)
    weight = 0.0
    for cells in octaves:
        w = 1.0 / np.sqrt(cells)
        out += w * cv2.resize(
            rng.standard_normal((cells, cells), np.float32), (size, size), interpolation=cv2.INTER_CUBIC
        )
        weight += w * w
    return out / np.float32(np.sqrt(weight) * 0.75)


def _flat(c: Color) -> F32:
    return np.broadcast_to(np.asarray(c, np.float32), (TILE, TILE, 3)).copy()


def _finish(image: F32) -> U8:
    return np.clip(image, 0, 255).astype(np.uint8)


def plain(rng: Rng, base: Color | None = None) -> U8:
    """Single-colour plastic or paint, with the unevenness of use."""
    image = _flat(base or color(rng, (0.0, 0.95), (0.12, 0.98)))
    return _finish(image + rng.uniform(0, 5) * noise(rng)[..., None])


def gradient(rng: Rng) -> U8:
    """Two or three colours running into each other along one direction."""
    stops = [np.asarray(color(rng), np.float32) for _ in range(int(rng.integers(2, 4)))]
    a = rng.choice([0, np.pi / 2, rng.uniform(0, np.pi)])
    t = np.linspace(-0.5, 0.5, TILE, dtype=np.float32)
    s = np.cos(a) * t[None] + np.sin(a) * t[:, None] + 0.5
    channels = [np.interp(s, np.linspace(0, 1, len(stops)), [c[k] for c in stops]) for k in range(3)]
    return _finish(np.stack(channels, -1).astype(np.float32))


def stripes(rng: Rng) -> U8:
    """Bands of a few colours, straight across, upright or slanted."""
    palette = np.array([color(rng) for _ in range(int(rng.integers(2, 5)))], np.float32)
    a = rng.choice([0, np.pi / 2, rng.uniform(0, np.pi)])
    t = np.arange(TILE, dtype=np.float32) / TILE
    s = np.cos(a) * t[None] + np.sin(a) * t[:, None] + rng.uniform(0, 0.02) * noise(rng, (6,))
    edges = np.sort(rng.uniform(-1, 2, int(rng.integers(3, 24))))
    return _finish(palette[np.searchsorted(edges, s) % len(palette)])


def dots(rng: Rng) -> U8:
    """Spots on a ground: confetti, polka dots, sprinkles."""
    image = _flat(color(rng))
    palette = [color(rng) for _ in range(int(rng.integers(1, 4)))]
    size = rng.uniform(3, 18)
    for _ in range(int(rng.integers(12, 60))):
        x, y = rng.uniform(0, TILE, 2)
        cv2.circle(image, (int(x), int(y)), int(size * rng.uniform(0.6, 1.2)), palette[rng.integers(len(palette))], -1)
    return _finish(image)


def cardboard(rng: Rng) -> U8:
    """Brown or grey board with fibres and corrugation."""
    v = rng.uniform(0.5, 0.85)
    image = _flat((255 * v, 255 * v * rng.uniform(0.78, 0.88), 255 * v * rng.uniform(0.55, 0.72)))
    fibres = cv2.blur(noise(rng, (96,)), (9, 1))
    return _finish(image + (4 * noise(rng) + 7 * fibres)[..., None])


def wood(rng: Rng) -> U8:
    """Grain: bent rings cut lengthwise."""
    dark, light = np.array(color(rng, (0.4, 0.7), (0.25, 0.5))), np.array(color(rng, (0.3, 0.55), (0.55, 0.9)))
    hue = np.array([1.0, rng.uniform(0.62, 0.8), rng.uniform(0.35, 0.55)])
    dark, light = dark.max() * hue, light.max() * hue
    y = np.linspace(0, rng.uniform(4, 12), TILE, dtype=np.float32)[:, None]
    rings = 0.5 + 0.5 * np.sin(2 * np.pi * (y + 0.35 * noise(rng, (2, 4)) + 0.06 * noise(rng, (48,))))
    return _finish((dark + (light - dark) * rings[..., None]).astype(np.float32))


def metal(rng: Rng) -> U8:
    """Brushed steel, aluminium, brass or black iron."""
    tint = [(1, 1, 1), (0.95, 0.97, 1), (1, 0.86, 0.55), (0.95, 0.65, 0.5)][rng.choice(4, p=[0.5, 0.3, 0.1, 0.1])]
    v = 255 * rng.uniform(0.25, 0.85)
    brushed = cv2.blur(noise(rng, (96,)), (31, 1))
    return _finish(_flat((v * tint[0], v * tint[1], v * tint[2])) + (10 * brushed + 4 * noise(rng))[..., None])


def skin(rng: Rng) -> U8:
    """Fruit, bread, clay, stone: warm mottling, speckles, sometimes a darker end."""
    a = np.array(color(rng, (0.35, 0.95), (0.35, 0.95)), np.float32)
    b = a * rng.uniform(0.5, 1.1, 3).astype(np.float32)
    mix = np.clip(0.5 + rng.uniform(0.15, 0.5) * noise(rng, (3, 8, 24)), 0, 1)[..., None]
    image = a + (b - a) * mix
    if rng.random() < 0.6:
        speckle = noise(rng, (TILE // 2,)) > rng.uniform(1.2, 2.2)
        image[speckle] *= rng.uniform(0.4, 0.9)
    if rng.random() < 0.4:
        ends = np.abs(np.linspace(-1, 1, TILE, dtype=np.float32)) ** rng.uniform(6, 20)
        image *= 1 - rng.uniform(0.2, 0.8) * ends[:, None, None]
    return _finish(image)


def _text(rng: Rng, image: U8, x0: int, y0: int, x1: int, y1: int, ink: Color) -> None:
    """A word that fills the box as well as its letters let it."""
    word = "".join(rng.choice(list(_LETTERS), int(rng.integers(3, 9))))
    font = int(rng.choice(_FONTS))
    (w, h), _ = cv2.getTextSize(word, font, 1.0, 2)
    scale = max(min((x1 - x0) / w, (y1 - y0) / (1.3 * h)), 0.1)
    thick = max(1, round(scale * rng.uniform(1.5, 4)))
    cv2.putText(image, word, (x0, (y0 + y1) // 2 + int(h * scale / 2)), font, scale, ink, thick, cv2.LINE_AA)


def _print_on(rng: Rng, image: U8, x0: int, y0: int, x1: int, y1: int, ink: Color, accent: Color) -> None:
    """What labels carry: a headline, small print, a logo, a picture, a barcode, a table."""
    w, h = x1 - x0, y1 - y0
    if w < 12 or h < 12:
        return
    y = y0 + int(h * rng.uniform(0.04, 0.15))
    while y < y1 - 8:
        kind = rng.choice(6, p=[0.3, 0.25, 0.2, 0.1, 0.1, 0.05])
        room = y1 - y
        left = x0 + int(w * rng.uniform(0.03, 0.2))
        right = x1 - int(w * rng.uniform(0.03, 0.2))
        if kind == 0:
            tall = int(np.clip(h * rng.uniform(0.1, 0.3), 8, room))
            _text(rng, image, left, y, right, y + tall, ink if rng.random() < 0.6 else accent)
        elif kind == 1:
            tall = int(min(h * rng.uniform(0.08, 0.3), room))
            step = int(rng.integers(4, 8))
            for row in range(y, y + tall - 1, step):
                end = left + int((right - left) * rng.uniform(0.5, 1))
                for x in range(left, end, 7):
                    cv2.line(image, (x, row), (min(x + int(rng.integers(2, 7)), end), row), ink, max(1, step // 4))
        elif kind == 2:
            tall = int(min(h * rng.uniform(0.2, 0.5), room))
            centre = (int(rng.integers(left, max(right, left + 1))), y + tall // 2)
            for _ in range(int(rng.integers(1, 5))):
                offset = rng.normal(0, tall * 0.15, 2)
                axes = (int(tall * rng.uniform(0.15, 0.6)) + 1, int(tall * rng.uniform(0.1, 0.4)) + 1)
                at = (int(centre[0] + offset[0]), int(centre[1] + offset[1]))
                cv2.ellipse(image, at, axes, rng.uniform(0, 180), 0, 360, color(rng, (0.3, 1)), -1, cv2.LINE_AA)
        elif kind == 3:
            tall = int(min(h * rng.uniform(0.08, 0.2), room))
            cv2.rectangle(image, (left, y), (left + int(w * 0.35), y + tall), (255, 255, 255), -1)
            x = left + 2
            while x < left + w * 0.35 - 2:
                thick = int(rng.integers(1, 4))
                cv2.rectangle(image, (x, y + 2), (x + thick - 1, y + tall - 2), (15, 15, 15), -1)
                x += thick + int(rng.integers(1, 4))
        elif kind == 4:
            tall = int(min(h * rng.uniform(0.05, 0.2), room))
            cv2.rectangle(image, (x0, y), (x1, y + tall), accent, -1)
        else:
            tall = int(min(h * rng.uniform(0.15, 0.4), room))
            cv2.rectangle(image, (left, y), (right, y + tall), ink, 1)
            for row in range(y, y + tall, 7):
                cv2.line(image, (left, row), (right, row), ink, 1)
        y += tall + int(h * rng.uniform(0.02, 0.12)) + 1


def printed(rng: Rng, ground: Color | None = None, accent: Color | None = None) -> U8:
    """The face of a box, or a label all around a can: ground, panels, print. Faces of one package share colours."""
    ground = ground or color(rng, (0, 1), (0.3, 1))
    accent = accent or color(rng, (0.3, 1), (0.2, 1))
    base = _flat(ground)
    if rng.random() < 0.35:
        ramp = np.linspace(0, 1, TILE, dtype=np.float32)[:, None, None]
        base += (np.asarray(accent, np.float32) - base) * (ramp * rng.uniform(0.3, 1))
    image = _finish(base + rng.uniform(0, 4) * noise(rng)[..., None])
    if rng.random() < 0.3:
        corners = rng.uniform(-0.2, 1.2, (int(rng.integers(3, 6)), 2)) * TILE
        cv2.fillPoly(image, [cv2.convexHull(corners.astype(np.int32))], accent, cv2.LINE_AA)
    ink = (20.0, 20.0, 25.0) if np.mean(ground) > 120 else (245.0, 245.0, 240.0)
    if rng.random() < 0.5:
        a, b = np.sort(rng.uniform(0.03, 0.97, (2, 2)), axis=0) * TILE
        panel = color(rng, (0, 0.5), (0.7, 1)) if rng.random() < 0.7 else accent
        cv2.rectangle(image, (int(a[0]), int(a[1])), (int(b[0]), int(b[1])), panel, -1)
        panel_ink = (20.0, 20.0, 25.0) if np.mean(panel) > 120 else (245.0, 245.0, 240.0)
        _print_on(rng, image, int(a[0]), int(a[1]), int(b[0]), int(b[1]), panel_ink, accent)
    columns = int(rng.choice([1, 1, 2, 3]))
    for k in range(columns):
        _print_on(rng, image, k * TILE // columns, 0, (k + 1) * TILE // columns, TILE, ink, accent)
    return image


def package(rng: Rng, faces: int) -> list[U8]:
    """Faces of one printed package: shared ground and accent, each with its own print, some left bare."""
    ground, accent = color(rng, (0, 1), (0.3, 1)), color(rng, (0.3, 1), (0.2, 1))
    front = printed(rng, ground, accent)
    bare = plain(rng, ground)
    out = []
    for _ in range(faces):
        kind = rng.random()
        out.append(front if kind < 0.3 else printed(rng, ground, accent) if kind < 0.75 else bare)
    return out


def wrapped(rng: Rng, body: U8, low: float, high: float) -> U8:
    """A printed label around a body, from fraction ``low`` to ``high`` of the tile's height (0 is the top)."""
    label = printed(rng)
    image = body.copy()
    a, b = int(low * TILE), max(int(high * TILE), int(low * TILE) + 8)
    copies = int(rng.integers(1, 3))
    tall = min(b, TILE) - a
    strip = cv2.resize(label, (TILE // copies, tall), interpolation=cv2.INTER_AREA)
    image[a : a + tall, : strip.shape[1] * copies] = np.tile(strip, (1, copies, 1))
    return image


_ANY: tuple[tuple[Callable[[Rng], U8], float], ...] = (
    (plain, 0.28),
    (printed, 0.22),
    (skin, 0.12),
    (stripes, 0.08),
    (dots, 0.05),
    (gradient, 0.06),
    (wood, 0.07),
    (metal, 0.06),
    (cardboard, 0.06),
)


def anything(rng: Rng) -> U8:
    """A tile of any kind."""
    weights = np.array([w for _, w in _ANY])
    return _ANY[rng.choice(len(_ANY), p=weights / weights.sum())][0](rng)


def fiducials(rng: Rng) -> U8:
    """A sheet of square codes, as boards for finding a camera's pose have: all over, or around a free middle."""
    rows, columns, bits = int(rng.integers(3, 8)), int(rng.integers(3, 8)), int(rng.integers(4, 8))
    cell = TILE // (max(rows, columns) * (bits + 3))
    paper = np.asarray(color(rng) if rng.random() < 0.2 else color(rng, (0.0, 0.08), (0.75, 1.0)), np.float32)
    free = rng.random() < 0.5
    sheet = np.ones((rows * (bits + 3), columns * (bits + 3)), np.float32)
    for row in range(rows):
        for column in range(columns):
            if free and 0 < row < rows - 1 and 0 < column < columns - 1:
                continue
            y, x = row * (bits + 3), column * (bits + 3)
            sheet[y : y + bits + 2, x : x + bits + 2] = 0.0
            sheet[y + 1 : y + bits + 1, x + 1 : x + bits + 1] = rng.integers(0, 2, (bits, bits))
    sheet = np.pad(sheet, 2, constant_values=1.0)
    large = cv2.resize(sheet, None, fx=cell, fy=cell, interpolation=cv2.INTER_NEAREST)
    picture = np.asarray(cv2.resize(large, (TILE, TILE), interpolation=cv2.INTER_AREA), np.float32)[..., None]
    ink = rng.uniform(0.05, 0.2)
    return _finish(paper * (ink + (1.0 - ink) * picture))
