"""How a textured mesh looks from where no view was: its PSNR against left-out pictures, beside vertex colours.

usage: python -m benchmarks.textured CAPTURES [--views FILE] [--out FOLDER] [--texture 1024] [--masks] ...

Each capture has transforms.json and transforms_test.json. Only pixels where both the mesh and the object's mask are
count, so that the outline's error is not the texture's. --out takes a picture of each capture: left-out pictures, the
textured mesh, vertex colours.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mvgamba_ros.cli._flags import add_config, add_options, add_prompts, options_from
from mvgamba_ros.geometry.rays import pixel_rays
from mvgamba_ros.io.capture_readers import read_capture
from mvgamba_ros.io.image_files import encode_png
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.rendering.texture import sample_raster
from mvgamba_ros.types import U8, Bool, Mesh, TextureMap, View


def main(argv: Sequence[str] | None = None) -> dict[str, tuple[float, float]]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captures", type=Path)
    parser.add_argument("--views", default="transforms.json")
    parser.add_argument("--out", type=Path, help="folder for the pictures")
    add_prompts(parser, "default: found")
    add_options(parser)
    parser.set_defaults(texture=1024, refine=False)
    add_config(parser)
    args = parser.parse_args(argv)
    scores: dict[str, tuple[float, float]] = {}
    print("| left-out views, PSNR in dB | textured | vertex colours | seconds |\n|---|---|---|---|")
    for folder in sorted(path.parent for path in args.captures.glob("*/transforms_test.json")):
        result = reconstruct(read_capture(folder, args.views), options_from(args, Options))
        assert result.texture is not None
        caster = Raycaster(result.mesh)
        both, tiles = [], []
        for view in read_capture(folder, "transforms_test.json"):
            textured, hit = render_textured(result.mesh, result.texture, view)
            painted = caster.render(view.camera, view.T_world_camera).color
            shared = hit if view.mask is None else hit & view.mask
            both.append([psnr(picture[shared], view.image[shared]) for picture in (textured, painted)])
            tiles.append(np.concatenate([view.image, textured, painted], axis=1))
        scores[folder.name] = (float(np.mean(both, axis=0)[0]), float(np.mean(both, axis=0)[1]))
        print(f"| {folder.name} | {scores[folder.name][0]:.1f} | {scores[folder.name][1]:.1f} | ", end="")
        print(f"{result.seconds['texture']:.2f} |", flush=True)
        if args.out is not None:
            args.out.mkdir(parents=True, exist_ok=True)
            (args.out / f"{folder.name}.png").write_bytes(encode_png(np.concatenate(tiles)))
    mean = np.mean(list(scores.values()), axis=0)
    print(f"| mean | {mean[0]:.1f} | {mean[1]:.1f} | |")
    return scores


def psnr(colors: U8, truth: U8) -> float:
    """Peak signal-to-noise ratio of colours (N, 3), dB."""
    return float(10.0 * np.log10(255.0**2 / np.mean((colors.astype(float) - truth) ** 2)))


def render_textured(mesh: Mesh, texture: TextureMap, view: View) -> tuple[U8, Bool]:
    """``mesh`` with its texture, unlit on black, as the camera of ``view`` sees it, and where the mesh is."""
    import open3d as o3d

    tensor: Any = o3d.core.Tensor
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(tensor(mesh.vertices.astype(np.float32)), tensor(mesh.faces.astype(np.uint32)))
    directions = pixel_rays(view.camera) @ view.T_world_camera[:3, :3].T
    origins = np.broadcast_to(view.T_world_camera[:3, 3], directions.shape)
    cast = scene.cast_rays(tensor(np.concatenate([origins, directions], axis=-1).astype(np.float32)))
    hit = np.isfinite(cast["t_hit"].numpy())
    u, v = cast["primitive_uvs"].numpy()[hit].T
    barycentric = np.stack([1.0 - u - v, u, v], axis=1)
    places = np.einsum("nk,nkc->nc", barycentric, texture.uv[cast["primitive_ids"].numpy()[hit]])
    height, width = texture.seen.shape
    x, y = (places * [width, height] - 0.5).astype(np.float32).T[:, :, None]
    picture = np.zeros((*hit.shape, 3), np.uint8)
    picture[hit] = sample_raster(texture.image, np.ascontiguousarray(x), np.ascontiguousarray(y))
    return picture, hit


if __name__ == "__main__":
    main()
