"""PLY files of points: clouds, and Gaussians in the layout of 3D Gaussian Splatting that any splat viewer opens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mvgamba_ros.errors import ErrorCode, boundary
from mvgamba_ros.io.atomic_writes import write_file
from mvgamba_ros.types import F64, Gaussians, PointCloud

if TYPE_CHECKING:  # it takes longer to load than most files take to read
    import torch

SH_C0 = 0.28209479177387814
"""The constant spherical harmonic: a splat's colour is ``0.5 + SH_C0 * f_dc``."""
OPACITY_LIMIT = 1e-6
"""Opacities are stored as logits, which 0 and 1 do not have."""

ROUNDING = 5e-5
"""Coordinates are written as float64 where float32 would move them further than this, metres: beyond 1 km."""

PLY_TYPES = {"float": "<f4", "float32": "<f4", "double": "<f8", "float64": "<f8", "uchar": "u1", "uint8": "u1"}
PLY_NAMES = {"<f4": "float", "<f8": "double", "|u1": "uchar"}
LONGEST_HEADER = 100_000
"""Bytes of a PLY file in which its header ends."""
GAUSSIAN_FIELDS = (
    ["x", "y", "z", "nx", "ny", "nz"]
    + [f"f_dc_{i}" for i in range(3)]
    + ["opacity"]
    + [f"scale_{i}" for i in range(3)]
    + [f"rot_{i}" for i in range(4)]
)


def write_gaussians(path: str | Path, gaussians: Gaussians) -> None:
    """Means, base colour, logit opacity, log scales and wxyz quaternions as 3DGS stores them. Raises CANNOT_WRITE."""
    import torch

    opacities = gaussians.opacities.clamp(OPACITY_LIMIT, 1.0 - OPACITY_LIMIT)
    columns = torch.cat(
        [
            gaussians.means,
            torch.zeros_like(gaussians.means),  # normals: in the layout, used by no viewer
            (gaussians.colors - 0.5) / SH_C0,
            torch.logit(opacities)[:, None],
            gaussians.scales.clamp(min=1e-12).log(),
            gaussians.quats,
        ],
        dim=1,
    )
    rows = columns.detach().cpu().numpy().astype("<f4")
    _write(Path(path), rows.view(np.dtype([(name, "<f4") for name in GAUSSIAN_FIELDS])).ravel())


def read_gaussians(path: str | Path) -> Gaussians:
    """Gaussians of a 3DGS PLY; colours beyond the base one (f_rest) are left out. Raises BAD_CAPTURE."""
    import torch

    path = Path(path)
    with boundary(ErrorCode.BAD_CAPTURE, path, "cannot be read as a PLY of 3D Gaussians"):
        table = _read(path)
        missing = [name for name in GAUSSIAN_FIELDS if name not in (table.dtype.names or ()) and name[0] != "n"]
        if missing:
            raise ValueError(f"no {', '.join(missing)}")

        def columns(*names: str) -> torch.Tensor:
            return torch.from_numpy(np.stack([table[name] for name in names], axis=1).astype(np.float32))

        gaussians = Gaussians(
            means=columns("x", "y", "z"),
            quats=torch.nn.functional.normalize(columns("rot_0", "rot_1", "rot_2", "rot_3"), dim=1),
            scales=columns("scale_0", "scale_1", "scale_2").exp(),
            opacities=columns("opacity")[:, 0].sigmoid(),
            colors=(columns("f_dc_0", "f_dc_1", "f_dc_2") * SH_C0 + 0.5).clamp(0.0, 1.0),
        )
        if not all(bool(torch.isfinite(value).all()) for value in vars(gaussians).values()):
            raise ValueError("it has values that are not finite")
        return gaussians


def write_cloud(path: str | Path, cloud: PointCloud) -> None:
    """Points (see `position_type`), normals (float32) and RGB; seen (uchar) and expected_error_mm (float) where the
    cloud has them. Raises CANNOT_WRITE."""
    fields = [(name, position_type(cloud.points)) for name in ("x", "y", "z")]
    fields += [(name, "<f4") for name in ("nx", "ny", "nz")]
    fields += [(name, "u1") for name in ("red", "green", "blue")]
    trust = {"seen": (cloud.seen, "u1"), "expected_error_mm": (cloud.expected_error_mm, "<f4")}
    fields += [(name, kind) for name, (values, kind) in trust.items() if values is not None]
    table = np.empty(len(cloud.points), np.dtype(fields))
    for names, rows in (
        (("x", "y", "z"), cloud.points),
        (("nx", "ny", "nz"), cloud.normals),
        (("red", "green", "blue"), cloud.colors),
    ):
        for k, name in enumerate(names):
            table[name] = rows[:, k]
    for name, (values, _) in trust.items():
        if values is not None:
            table[name] = values
    _write(Path(path), table)


def position_type(points: F64) -> str:
    """The type that a file keeps coordinates (N, 3) in, metres: float32, and float64 where that rounds by more than
    `ROUNDING`, far from the origin."""
    largest = np.float32(np.abs(points).max(initial=0.0))
    return "<f8" if np.spacing(largest) / 2.0 > ROUNDING else "<f4"


def widen_positions(content: bytes, vertices: F64) -> bytes:
    """A mesh's binary PLY, whose first element are vertices of scalars, with x, y, z (V, 3) as float64."""
    header, end, body = content.partition(b"end_header\n")
    vertex, element, faces = header.partition(b"element face")
    words = [line.split() for line in vertex.decode("ascii").splitlines()]
    narrow = np.dtype([(w[2], PLY_TYPES[w[1]]) for w in words if w[0] == "property"])
    wide = np.dtype([(name, "<f8" if name in "xyz" else narrow[name]) for name in narrow.names or ()])
    rows = np.frombuffer(body, narrow, len(vertices))
    table = np.empty(len(vertices), wide)
    for name in wide.names or ():
        table[name] = vertices[:, "xyz".index(name)] if name in "xyz" else rows[name]
    for axis in (b"x", b"y", b"z"):
        vertex = vertex.replace(b"property float " + axis + b"\n", b"property double " + axis + b"\n")
    return vertex + element + faces + end + table.tobytes() + body[rows.nbytes :]


def _write(path: Path, table: np.ndarray) -> None:
    """One element "vertex", binary little-endian."""
    assert table.dtype.fields is not None
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {len(table)}"]
    lines += [f"property {PLY_NAMES[kind.str]} {name}" for name, (kind, *_) in table.dtype.fields.items()]
    write_file(path, ("\n".join([*lines, "end_header"]) + "\n").encode("ascii") + table.tobytes())


def _read(path: Path) -> np.ndarray:
    """The vertices of a binary little-endian PLY of scalars. Raises ValueError, and what reading raises."""
    content = path.read_bytes()
    header, end, body = content.partition(b"end_header\n")
    lines = header[:LONGEST_HEADER].decode("ascii", errors="replace").splitlines()
    if not end or not lines or lines[0] != "ply" or "format binary_little_endian 1.0" not in lines:
        raise ValueError("not a binary little-endian PLY")
    count = 0
    fields: list[tuple[str, str]] = []
    for line in lines:
        words = line.split()
        if words[:2] == ["element", "vertex"]:
            count = int(words[2])
        elif words[:1] == ["element"] and not fields:
            raise ValueError(f"element {words[1]} comes before the vertices")
        elif words[:1] == ["property"] and len(words) == 3 and words[1] in PLY_TYPES:
            fields.append((words[2], PLY_TYPES[words[1]]))
        elif words[:1] == ["property"]:
            raise ValueError(f"property '{line}' is not one number per vertex")
    kind = np.dtype(fields)
    if not 0 <= count * kind.itemsize <= len(body):
        raise ValueError(f"{len(body)} bytes for {count} vertices of {kind.itemsize}: the file is cut off")
    return np.frombuffer(body, kind, count)
