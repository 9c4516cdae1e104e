"""A Middlebury multi-view folder (templeSparseRing, dinoSparseRing, ...) as a capture for the other tools.

usage: python -m benchmarks.middlebury ~/dinoSparseRing OUT/dino

Real photos of a plaster object by a calibrated gantry (Seitz et al. 2006), from vision.middlebury.edu/mview/data: each
folder has photos, their cameras in ``*_par.txt`` and the object's box in ``README.txt``. Every other photo becomes an
input, the rest are left out for `mvgamba eval OUT --roi X0 Y0 Z0 X1 Y1 Z1 --counts 8`, with the box's two corners.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from mvgamba_ros.geometry.se3 import inverse, rigid
from mvgamba_ros.io.transforms_json import write_capture
from mvgamba_ros.types import Camera, View


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args(argv)
    views = read_photos(args.folder)
    args.out.mkdir(parents=True, exist_ok=True)
    write_capture(args.out, views[0::2])
    write_capture(args.out, views[1::2], "transforms_test.json")
    print(f"{args.out}: {len(views[0::2])} inputs, {len(views[1::2])} left out")


def read_photos(folder: Path) -> list[View]:
    """Views in the folder's own world, metres. A line of ``*_par.txt`` is a photo's name, then K, R and t, row by row,
    of x = K (R X + t)."""
    (path,) = folder.glob("*_par.txt")
    views = []
    for line in path.read_text().splitlines()[1:]:
        name, *values = line.split()
        numbers = np.array(values, np.float64)
        K, T = numbers[:9].reshape(3, 3), rigid(numbers[9:18].reshape(3, 3), numbers[18:21])
        photo = cv2.imread(str(folder / name))
        if photo is None:
            raise SystemExit(f"{folder / name}: no photo that can be read; {path.name} names it")
        camera = Camera(K, photo.shape[1], photo.shape[0])
        views.append(View(np.ascontiguousarray(photo[..., ::-1]), camera, inverse(T), name=name))
    return views


if __name__ == "__main__":
    main()
