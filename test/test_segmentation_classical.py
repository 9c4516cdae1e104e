"""The default segmenter on rendered scenes of known silhouette, and on the posed captures where they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from rendered import CENTER, SIZE, views

from mvgamba_ros.config.segmentation_config import SegmentationConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.camera import project
from mvgamba_ros.geometry.rays import rays
from mvgamba_ros.io.capture_readers import read_capture
from mvgamba_ros.segmentation.classical import window_segmentation
from mvgamba_ros.segmentation.classical.classical_segmenter import ClassicalSegmenter
from mvgamba_ros.segmentation.classical.components import fill_small_holes
from mvgamba_ros.segmentation.segmenter import Silhouettes
from mvgamba_ros.segmentation.silhouette_agreement import OccupancyGrid
from mvgamba_ros.segmentation.support_plane import estimate_support_height, refine_support_height
from mvgamba_ros.segmentation.windows import common_region, make_windows
from mvgamba_ros.types import Box, Camera, Prompts, View

CONFIG = SegmentationConfig()
SCENE = views(4)
PLAIN = [replace(view, mask=None, depth=None) for view in SCENE]


def box(center: np.ndarray, size: np.ndarray) -> Box:
    T = np.eye(4)
    T[:3, 3] = center
    return Box(T, np.asarray(size, dtype=np.float64))


ROI = box(np.asarray(CENTER), 1.4 * np.asarray(SIZE))


def iou(found: Silhouettes, truth: list[View]) -> list[float]:
    return [
        float((mask & view.mask).sum() / (mask | view.mask).sum())
        for mask, view in zip(found.masks, truth, strict=True)
        if view.mask is not None
    ]


def test_a_region_of_interest_gives_the_silhouettes_of_a_striped_ellipsoid() -> None:
    assert min(iou(ClassicalSegmenter()(PLAIN, Prompts(roi=ROI)), SCENE)) > 0.9


def test_without_a_region_the_object_in_the_middle_is_found() -> None:
    assert min(iou(ClassicalSegmenter()(PLAIN, Prompts()), SCENE)) > 0.85


def test_letters_in_the_tables_colours_do_not_pierce_a_box() -> None:
    pytest.importorskip("mvgamba_ros.sim.engine")
    from mvgamba_ros.sim.robot_arm import SimulatedArm
    from mvgamba_ros.sim.wrist_camera import photograph

    truth = photograph(SimulatedArm(), 6)  # a cereal box, its print partly as brown as the wooden table
    for views_ in (truth, truth[:2] + truth[3:5]):
        found = ClassicalSegmenter()([replace(view, mask=None) for view in views_], Prompts(support_height=0.0)).masks
        missed = [np.mean(~mask[view.mask]) for view, mask in zip(views_, found, strict=True)]
        assert max(missed) < 0.012, missed


def test_a_region_that_fills_the_images_still_gives_the_silhouettes() -> None:
    """Nothing is left outside of it to learn the surroundings from: the object is taken to stand in its middle."""
    wide = box(np.asarray(CENTER), 4.0 * np.asarray(SIZE))
    assert min(iou(ClassicalSegmenter()(PLAIN, Prompts(roi=wide)), SCENE)) > 0.85


def test_dark_sides_of_an_object_are_not_taken_for_its_shadow(tmp_path: Path) -> None:
    """A printed can on a brown table, half of it away from the light."""
    pytest.importorskip("mvgamba_ros.sim.engine")
    from benchmarks.simulated import plain_mesh
    from mvgamba_ros.sim.robot_arm import SimulatedArm
    from mvgamba_ros.sim.scene import Scene
    from mvgamba_ros.sim.wrist_camera import photograph
    from mvgamba_ros.synthesis.families import Procedural

    plain_mesh(Procedural(5, 3)[2], 0.12).export(tmp_path / "can.glb")
    truth = photograph(SimulatedArm(Scene(object_name=str(tmp_path / "can.glb"), object_yaw=0.7)), 4)
    found = ClassicalSegmenter()([replace(view, mask=None) for view in truth], Prompts())
    assert min(iou(found, truth)) > 0.97


def test_a_cloth_in_darker_versions_of_the_objects_colour_is_not_its_dark_side() -> None:
    """A yellow stone before black, half of it before a loose cloth: brown, uneven, nowhere the same for two views."""
    stone, scene = np.array([230.0, 200.0, 130.0]), []
    rows, columns = np.mgrid[:240, :320]
    for view in views(6):
        assert view.mask is not None
        paint = view.image.mean(axis=-1) / view.image[view.mask].mean(axis=-1).max()
        folds = np.sin(50.0 * view.T_world_camera[0, 3] + columns / 60.0 + rows / 90.0)
        origin, directions = rays(view.camera, view.T_world_camera)
        ground = origin - origin[2] / np.minimum(directions[..., 2:], -1e-6) * directions
        behind = np.where(ground[..., 0] < CENTER[0], 0.3 + 0.2 * folds, 0.02)
        image = np.where(view.mask, 0.35 + 0.75 * paint, behind)[..., None] * stone
        scene.append(replace(view, image=image.clip(0, 255).astype(np.uint8)))
    for prompts in (Prompts(roi=ROI), Prompts()):
        found = ClassicalSegmenter()([replace(view, mask=None, depth=None) for view in scene], prompts)
        assert min(iou(found, scene)) > 0.96


def test_small_holes_are_filled_unless_a_pixel_in_them_is_known_to_be_off() -> None:
    mask = np.zeros((60, 80), bool)
    mask[10:50, 10:70] = True
    mask[20:23, 20:23] = mask[30:33, 50:53] = mask[35:45, 20:30] = mask[10:13, 40:43] = False  # the last one is a bite
    off = np.zeros_like(mask)
    off[31, 51] = True
    filled = fill_small_holes(mask, off)
    assert filled[20:23, 20:23].all()
    assert (filled ^ mask).sum() == 9


def test_a_view_that_has_found_nothing_takes_nothing_from_the_others() -> None:
    views_ = views()
    region = box(CENTER, 1.4 * SIZE)
    windows = make_windows(views_, region, Prompts(roi=region), 224)
    states = [window_segmentation.begin_window(window, region, None, CONFIG) for window in windows]
    for state, view in zip(states, views_, strict=True):
        x0, y0, x1, y1 = state.window.rect
        truth = cv2.resize(view.mask[y0:y1, x0:x1].astype(np.uint8), state.window.shape[::-1]) > 0
        state.labels, state.log_odds = truth, np.where(truth, 2.0, -2.0).astype(np.float32)
    truths = [state.labels for state in states]
    states[1].labels, states[1].log_odds = np.zeros_like(truths[1]), 0.2 * states[1].log_odds
    window_segmentation.cut_windows(states, OccupancyGrid(windows, region, None), 1.0, CONFIG)
    for state, truth in zip(states, truths, strict=True):
        assert (state.labels & truth).sum() > 0.95 * (state.labels | truth).sum()


def test_one_view_is_enough_with_a_pixel_box() -> None:
    mask = SCENE[0].mask
    assert mask is not None
    (top, left), (bottom, right) = np.argwhere(mask).min(axis=0), np.argwhere(mask).max(axis=0)
    around = (left - 12.0, top - 12.0, right + 12.0, bottom + 12.0)
    found = ClassicalSegmenter()(PLAIN[:1], prompts := Prompts(pixel_boxes={0: around}))
    assert iou(found, SCENE[:1])[0] > 0.8
    assert not found.masks[0][:, : int(around[0]) - 1].any()
    near = [replace(PLAIN[0], depth=SCENE[0].depth)]  # nearer than a metre
    assert iou(ClassicalSegmenter()(near, replace(prompts, support_height=0.0)), SCENE[:1])[0] > 0.95


def test_points_are_honoured() -> None:
    rows, columns = np.nonzero(SCENE[0].mask)
    x, y = float(columns.mean()), float(rows.mean())
    found = ClassicalSegmenter()(PLAIN, Prompts(roi=ROI, points={0: np.array([[x, y, 0.0]])}))
    assert not found.masks[0][int(y), int(x)]


def test_the_table_of_fine_grain_has_its_height_and_a_plain_one_has_none() -> None:
    height, clarity = estimate_support_height(PLAIN, Prompts(roi=ROI))
    assert height is not None and abs(height) < 0.002
    assert 0.5 < clarity <= 1.0
    flat = [replace(view, image=np.full_like(view.image, 128)) for view in PLAIN]
    assert estimate_support_height(flat, Prompts(roi=ROI)) == (None, 0.0)


def on_a_sheet(folder: Path, name: str) -> list[View]:
    """Four views of one of the simulated arm's objects on a white table, a sheet of fiducial markers under it."""
    pytest.importorskip("mvgamba_ros.sim.engine")
    from mvgamba_ros.sim.robot_arm import SimulatedArm
    from mvgamba_ros.sim.scene import Scene
    from mvgamba_ros.sim.wrist_camera import photograph
    from mvgamba_ros.synthesis.textures import fiducials

    mat = folder / "mat.png"
    cv2.imwrite(str(mat), fiducials(np.random.default_rng(21)))
    return photograph(SimulatedArm(Scene(object_name=name, table="white-plaster", mat=str(mat))), 4)


def test_a_sheet_of_markers_gives_the_height_though_the_table_is_plain(tmp_path: Path) -> None:
    height, _ = estimate_support_height(on_a_sheet(tmp_path, "milk"), Prompts())
    assert height is not None and abs(height) < 0.004


def test_the_object_on_a_sheet_of_markers_is_found_and_not_the_sheet_and_the_height_with_it(tmp_path: Path) -> None:
    truth = on_a_sheet(tmp_path, "can")
    found = ClassicalSegmenter()(truth, Prompts())
    assert min(iou(found, truth)) > 0.9
    assert found.support_height is not None and abs(found.support_height) < 0.003


@pytest.mark.parametrize("roughly", [-0.0025, 0.0, 0.0025])
def test_a_height_found_roughly_is_found_exactly_around_the_object(tmp_path: Path, roughly: float) -> None:
    truth = on_a_sheet(tmp_path, "milk")
    around = box(np.array([0.45, 0.0, 0.07]), np.array([0.12, 0.12, 0.14]))
    assert abs(refine_support_height(truth, around, roughly)) < 0.001


def test_a_region_as_thin_as_a_coin_still_has_its_table_found(tmp_path: Path) -> None:
    truth = on_a_sheet(tmp_path, "milk")
    thin = box(np.array([0.45, 0.0, 0.003]), np.array([0.1, 0.1, 0.006]))
    height, _ = estimate_support_height(truth, Prompts(roi=thin))
    assert height is not None and abs(height) < 0.002


def test_a_height_is_kept_where_the_region_leaves_nothing_of_the_table_to_see() -> None:
    assert refine_support_height(PLAIN, box(np.asarray(CENTER), 4.0 * np.asarray(SIZE)), 0.01) == 0.01


def test_pictures_cut_from_larger_ones_have_their_own_middle() -> None:
    """Where an object is looked for without a region; their optical axes are far from their middles."""
    middle = CENTER + np.array([0.06, 0.03, 0.0])
    cut = []
    for view in SCENE:
        pixels, _ = project(view.camera, view.T_world_camera, middle[None])
        x, y = np.round(pixels[0]).astype(int) - [70, 60]
        K = view.camera.K - np.array([[0, 0, x], [0, 0, y], [0, 0, 0]])
        cut.append(View(view.image[y : y + 120, x : x + 140], Camera(K, 140, 120), view.T_world_camera))
    found = common_region(cut, Prompts()).T_world_box[:3, 3]
    assert np.linalg.norm(found - middle) < 0.002, found


def test_depth_gives_the_tables_height_within_two_millimetres() -> None:
    height, _ = estimate_support_height([replace(view, mask=None) for view in SCENE], Prompts(roi=ROI))
    assert height is not None
    assert abs(height) < 0.002


def code_of(views_: list[View], prompts: Prompts) -> tuple[ErrorCode, str]:
    with pytest.raises(ReconstructionError) as caught:
        ClassicalSegmenter()(views_, prompts)
    return caught.value.code, caught.value.message


def test_a_region_without_volume_names_its_size() -> None:
    code, message = code_of(PLAIN, Prompts(roi=box(np.zeros(3), np.array([0.1, 0.0, 0.1]))))
    assert code == ErrorCode.BAD_ROI
    assert "0.0" in message


def test_a_region_behind_the_cameras_is_not_visible() -> None:
    eye, ahead = PLAIN[0].T_world_camera[:3, 3], PLAIN[0].T_world_camera[:3, 2]
    code, message = code_of(PLAIN[:1], Prompts(roi=box(eye - 0.5 * ahead, np.full(3, 0.1))))
    assert code == ErrorCode.ROI_NOT_VISIBLE
    assert "behind" in message


def test_a_region_around_a_camera_is_refused() -> None:
    code, _ = code_of(PLAIN, Prompts(roi=box(PLAIN[0].T_world_camera[:3, 3], np.full(3, 0.1))))
    assert code == ErrorCode.BAD_ROI


def test_a_pixel_box_that_the_other_views_contradict_is_an_error_with_a_code() -> None:
    code, message = code_of(PLAIN, Prompts(pixel_boxes={0: (0, 0, 5, 5)}))
    assert code in (ErrorCode.EMPTY_SILHOUETTE, ErrorCode.SILHOUETTES_DISAGREE) and "view 0" in message


def test_one_view_without_any_prompt_is_refused() -> None:
    code, message = code_of(PLAIN[:1], Prompts())
    assert code == ErrorCode.BAD_ROI
    assert "pixel box" in message


def test_an_even_picture_has_no_silhouette() -> None:
    flat = [replace(view, image=np.full_like(view.image, 128)) for view in PLAIN]
    code, _ = code_of(flat, Prompts(roi=ROI))
    assert code == ErrorCode.EMPTY_SILHOUETTE


def test_prompts_for_a_view_that_is_not_there_are_refused() -> None:
    code, message = code_of(PLAIN, Prompts(roi=ROI, pixel_boxes={7: (0, 0, 9, 9)}))
    assert code == ErrorCode.BAD_OPTION
    assert "view 7" in message


def test_cancelling_ends_it() -> None:
    with pytest.raises(ReconstructionError) as caught:
        ClassicalSegmenter()(PLAIN, Prompts(roi=ROI), cancelled=lambda: True)
    assert caught.value.code == ErrorCode.CANCELLED


def test_cancelling_ends_it_while_borders_are_refined() -> None:
    reached: list[float] = []
    with pytest.raises(ReconstructionError) as caught:
        ClassicalSegmenter()(
            PLAIN, Prompts(roi=ROI), lambda _, fraction: reached.append(fraction), lambda: 0.8 in reached
        )
    assert caught.value.code == ErrorCode.CANCELLED


def test_progress_only_grows_and_ends_at_one() -> None:
    seen: list[float] = []
    ClassicalSegmenter()(PLAIN, Prompts(roi=ROI), progress=lambda _, fraction: seen.append(fraction))
    assert seen == sorted(seen) and seen[-1] == 1.0


@pytest.mark.parametrize("name", ["mustard", "frypan"])
def test_captured_objects_are_cut_out_with_and_without_a_region(captures: Path, name: str) -> None:
    import trimesh

    seen = read_capture(captures / name)
    low, high = trimesh.load(captures / name / "truth.ply").bounds
    bare = [replace(view, mask=None, depth=None) for view in seen]
    assert min(iou(ClassicalSegmenter()(bare, Prompts(roi=box((low + high) / 2, 1.4 * (high - low)))), seen)) > 0.93
    assert min(iou(ClassicalSegmenter()(bare, Prompts()), seen)) > 0.85
