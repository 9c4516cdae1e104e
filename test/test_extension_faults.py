# mypy: no-check-untyped-defs
"""An installed extension that breaks its contract is named as the one at fault, whatever it does, and nothing of the
caller's is lost."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import rendered
import torch

from mvgamba_ros import registry
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.factories import _method, _segmenter, embed
from mvgamba_ros.io.capture_readers import read_capture
from mvgamba_ros.io.transforms_json import write_capture
from mvgamba_ros.methods.protocol import Shape
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.segmentation.segmenter import Silhouettes
from mvgamba_ros.synthesis.sources import open_source
from mvgamba_ros.types import Gaussians, Mesh

SMALL = Options(method="hull", hull_resolution=32, cloud_points=500, max_faces=500, refine=False)
CORNERS = np.array([[x, y, z] for x in (0.0, 1.0) for y in (0.0, 1.0) for z in (0.0, 1.0)])
QUADS = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
FACES = np.concatenate([QUADS[:, [0, 1, 2]], QUADS[:, [0, 2, 3]]]).astype(np.int32)


@pytest.fixture
def plug(tmp_path, monkeypatch):
    """A module whose attributes Method, Segmenter, Reader and source an installed package registers as ``odd``."""
    metadata = tmp_path / "plug-0.3.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: plug\nVersion: 0.3\n")
    groups = {"methods": "Method", "segmenters": "Segmenter", "capture_readers": "Reader", "object_sources": "source"}
    lines = [f"[mvgamba_ros.{group}]\nodd = plug:{attribute}\n" for group, attribute in groups.items()]
    (metadata / "entry_points.txt").write_text("".join(lines))
    (tmp_path / "plug.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    for cache in (registry._installed, _method, _segmenter):
        cache.cache_clear()
    import plug  # type: ignore[import-not-found]

    yield plug
    del sys.modules["plug"]
    for cache in (registry._installed, _method, _segmenter):
        cache.cache_clear()


def box(hull) -> Mesh:
    low, high = hull.bounds()
    return Mesh(low + CORNERS * (high - low), FACES, np.full((8, 3), 128, np.uint8))


def returning(make):
    """A factory of a method that returns ``make`` of a box's mesh."""
    return lambda options: lambda views, hull, *rest: make(box(hull))


def raising(error):
    def raises(*_):
        raise error

    return raises


def ball(count: int, **changes) -> Gaussians:
    values = {"means": (3,), "quats": (4,), "scales": (3,), "opacities": (), "colors": (3,)}
    return Gaussians(**{name: torch.ones(count, *rest) for name, rest in values.items()} | changes)


BROKEN = {
    "sys.exit": (raising(SystemExit(3)), "raised SystemExit: 3"),
    "not made": (lambda options: None, "was made as NoneType"),
    "no arguments": (lambda: None, "raised TypeError"),
    "raises": (
        lambda options: raising(RuntimeError("two\nlines")),
        r"raised RuntimeError: two lines \(test_ext.*, line",
    ),
    "raises success": (
        lambda options: raising(ReconstructionError(ErrorCode.SUCCESS, "fine")),
        "raised ReconstructionError: fine",
    ),
    "raises a text for a code": (
        lambda options: raising(ReconstructionError("EMPTY", "none")),  # type: ignore[arg-type]
        "raised ReconstructionError: none",
    ),
    "nothing": (returning(lambda mesh: None), "returned NoneType, not a Shape"),
    "a mesh": (returning(lambda mesh: mesh), "returned Mesh, not a Shape"),
    "no triangles": (returning(lambda mesh: Shape(replace(mesh, faces=FACES[:0]))), "without triangles"),
    "nan": (returning(lambda mesh: Shape(replace(mesh, vertices=mesh.vertices * np.nan))), "not finite"),
    "beyond": (returning(lambda mesh: Shape(replace(mesh, faces=FACES + 1))), "name vertices 1 to 8, of 8"),
    "negative": (returning(lambda mesh: Shape(replace(mesh, faces=FACES - 1))), "name vertices -1 to 6, of 8"),
    "quads": (returning(lambda mesh: Shape(replace(mesh, faces=QUADS))), r"faces \(6, 4\)"),
    "colours": (returning(lambda mesh: Shape(replace(mesh, colors=mesh.colors / 255))), "colors .* float64"),
    "flat": (returning(lambda mesh: Shape(replace(mesh, vertices=mesh.vertices * [1, 1, 0]))), "in one plane"),
    "depths": (returning(lambda mesh: Shape(mesh, None, [1.0])), "depths list, not a tuple of DepthMaps"),  # type: ignore[arg-type]
    "gaussians": (returning(lambda mesh: Shape(mesh, ball(4, means=torch.ones(4, 2)))), r"means are \(4, 2\)"),
    "gaussians of nan": (returning(lambda mesh: Shape(mesh, ball(4, scales=torch.full((4, 3), torch.nan)))), "scales"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_method_that_breaks_its_contract_is_named(plug, case):
    plug.Method, words = BROKEN[case]
    with pytest.raises(ReconstructionError, match=rf"method 'odd' of package plug 0\.3 .*{words}") as caught:
        reconstruct(rendered.views(3), replace(SMALL, method="odd", segmenter="masks"))
    assert caught.value.code is ErrorCode.BAD_OPTION and "\n" not in caught.value.message


def test_what_a_method_refuses_in_its_own_words_is_passed_on(plug):
    plug.Method = lambda options: raising(ReconstructionError(ErrorCode.EMPTY_SURFACE, "nothing there"))
    with pytest.raises(ReconstructionError, match=r"^nothing there$") as caught:
        reconstruct(rendered.views(3), replace(SMALL, method="odd", segmenter="masks"))
    assert caught.value.code is ErrorCode.EMPTY_SURFACE


def test_a_method_may_lack_a_name_return_other_numbers_and_write_into_its_views(plug):
    def method(views, hull, *rest):
        views[0].image[:] = 0
        views[0].mask[:] = False
        mesh = box(hull)
        views.clear()
        return Shape(Mesh(mesh.vertices.astype(np.float32), mesh.faces.astype(np.int64), mesh.colors), ball(4))

    plug.Method = lambda options: method
    views, untouched = rendered.views(3), rendered.views(3)
    result = reconstruct(views, replace(SMALL, method="odd", segmenter="masks"))
    assert result.method == "odd" and result.mesh.vertices.dtype == np.float64 and result.mesh.faces.dtype == np.int32
    for view, before in zip(views, untouched, strict=True):
        np.testing.assert_array_equal(view.image, before.image)
        np.testing.assert_array_equal(view.mask, before.mask)


def test_more_faces_than_asked_for_are_noted(plug):
    plug.Method = returning(lambda mesh: Shape(replace(mesh, faces=np.concatenate([FACES, FACES]))))
    result = reconstruct(rendered.views(3), replace(SMALL, method="odd", segmenter="masks", max_faces=16))
    assert "method odd made 24 faces, max_faces is 16" in result.notes


MASKS = [view.mask for view in rendered.views(3)]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, "NoneType, not Silhouettes"),
        (MASKS, "list, not Silhouettes"),
        (Silhouettes(MASKS[:2]), "2 masks of 3 views"),  # type: ignore[arg-type]
        (Silhouettes([mask[:9] for mask in MASKS]), r"view 0 a mask \(9, 320\) bool, not \(240, 320\)"),  # type: ignore[index]
        (Silhouettes([mask.astype(np.uint8) for mask in MASKS]), "view 0 a mask .* uint8"),  # type: ignore[union-attr]
        (Silhouettes([None] * 3), "view 0 a mask"),  # type: ignore[list-item]
        (Silhouettes(MASKS, float("nan")), "support height nan"),  # type: ignore[arg-type]
        (Silhouettes(MASKS, hidden=MASKS[:1]), "what is hidden in 1 of 3 views"),  # type: ignore[arg-type]
        (Silhouettes(MASKS, hidden=[m[:9] for m in MASKS]), r"view 0 hidden pixels \(9, 320\) bool"),  # type: ignore[index]
        (Silhouettes(MASKS, hidden=MASKS), r"view 0 \d+ pixels that are hidden and on the object"),  # type: ignore[arg-type]
    ],
)
def test_a_segmenter_that_breaks_its_contract_is_named(plug, found, words):
    plug.Segmenter = lambda options: lambda *_: found
    views = [replace(view, mask=None) for view in rendered.views(3)]
    with pytest.raises(
        ReconstructionError, match=rf"segmenter 'odd' of package plug 0\.3 returned .*{words}"
    ) as caught:
        reconstruct(views, replace(SMALL, segmenter="odd"))
    assert caught.value.code is ErrorCode.BAD_OPTION


def test_a_segmenter_that_fails_ahead_of_the_request_is_named(plug):
    class Segmenter:
        name = "odd"
        embed = raising(SystemExit("no weights"))

        def __init__(self, options): ...
        def __call__(self, *_): ...

    plug.Segmenter = Segmenter
    with pytest.raises(
        ReconstructionError, match=r"segmenter 'odd' of package plug 0\.3 raised SystemExit: no weights"
    ):
        embed(replace(SMALL, segmenter="odd"), rendered.views(1)[0])


class Reader:
    layout = "anything"

    def recognises(self, path, views_file):
        return path.name == "mine"

    def read(self, path, views_file):
        raise KeyError("images")


def test_a_reader_that_fails_is_named_and_keeps_no_other_from_reading(plug, tmp_path):
    write_capture(tmp_path / "capture", rendered.views(2))
    plug.Reader = Reader
    with pytest.raises(
        ReconstructionError, match=r"capture reader 'odd' of package plug 0\.3 raised KeyError: 'images'"
    ):
        read_capture(tmp_path / "mine")
    plug.Reader = type("Nothing", (Reader,), {"read": lambda *_: None})
    with pytest.raises(ReconstructionError, match="returned NoneType, not a list of View"):
        read_capture(tmp_path / "mine")
    for broken in (raising(OSError("gone")), type("Odd", (Reader,), {"recognises": raising(OSError("gone"))})):
        plug.Reader = broken
        assert len(read_capture(tmp_path / "capture")) == 2
        with pytest.raises(ReconstructionError, match=r"does not exist; .*package plug 0\.3 raised OSError: gone"):
            read_capture(tmp_path / "mine")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (raising(RuntimeError("no")), "raised RuntimeError: no"),
        (lambda seed, count: None, "raised TypeError"),
        (lambda seed, count: [], "has no objects"),
        (lambda seed, count: [1, 2], "returned int, not a TexturedMesh, for object 0"),
    ],
)
def test_a_source_of_objects_that_breaks_its_contract_is_named(plug, source, words):
    plug.source = source
    with pytest.raises(ReconstructionError, match=rf"object source 'odd' of package plug 0\.3 .*{words}") as caught:
        open_source("odd", 1, 2)[0]
    assert caught.value.code is ErrorCode.BAD_OPTION
