"""Lists where arrays belong are refused by name; rows of points are taken as they come."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import rendered

from mvgamba_ros import Options, Prompts, reconstruct
from mvgamba_ros.errors import ErrorCode, ReconstructionError


@pytest.mark.parametrize(
    ("field", "code"),
    [
        ("image", ErrorCode.BAD_IMAGE),
        ("T_world_camera", ErrorCode.BAD_POSE),
        ("mask", ErrorCode.BAD_MASK),
        ("depth", ErrorCode.BAD_DEPTH),
    ],
)
def test_a_list_is_refused_by_the_name_of_its_field(field: str, code: ErrorCode) -> None:
    views = rendered.views(3)
    views[1] = replace(views[1], **{field: np.asarray(getattr(views[1], field)).tolist()})
    with pytest.raises(ReconstructionError, match=f"view 1: {field} is a list: give a numpy array") as error:
        reconstruct(views)
    assert error.value.code == code


def test_intrinsics_as_a_list_are_refused() -> None:
    views = rendered.views(3)
    views[2] = replace(views[2], camera=replace(views[2].camera, K=views[2].camera.K.tolist()))
    with pytest.raises(ReconstructionError, match=r"view 2: camera\.K is a list"):
        reconstruct(views)


def test_points_may_be_rows_of_a_list() -> None:
    points = {0: [[160, 120, 1]]}
    options = Options(method="hull", hull_resolution=32, prompts=Prompts(support_height=0.0, points=points))  # type: ignore[arg-type]
    assert len(reconstruct(rendered.views(3), options).mesh.faces) > 100
