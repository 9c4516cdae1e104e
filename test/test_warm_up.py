"""A made-up reconstruction that loads what the first real one would."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.warm_up import CENTER, RADIUS, ball_views, warm_up


def test_the_ball_is_found_where_it_lies() -> None:
    box = reconstruct(ball_views(), Options(segmenter="masks")).box
    np.testing.assert_allclose(box.T_world_box[:3, 3], CENTER, atol=0.005)
    np.testing.assert_allclose(box.size, 2 * RADIUS, atol=0.01)


def test_after_it_a_reconstruction_loads_nothing_more() -> None:
    code = (
        "import sys\n"
        "from mvgamba_ros.options import Options\n"
        "from mvgamba_ros.pipeline import reconstruct\n"
        "from mvgamba_ros.types import Prompts\n"
        "from mvgamba_ros.warm_up import ball_views, warm_up\n"
        "warm_up(Options())\n"
        "before = set(sys.modules)\n"
        "reconstruct(ball_views(), Options(use_masks=True))\n"
        "print(sorted(set(sys.modules) - before))\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_weights_that_are_not_there_are_named() -> None:
    with pytest.raises(ReconstructionError, match=r"nowhere\.safetensors") as caught:
        warm_up(Options(checkpoint="nowhere.safetensors"))
    assert caught.value.code is ErrorCode.BAD_CHECKPOINT


def test_it_can_be_stopped() -> None:
    with pytest.raises(ReconstructionError) as caught:
        warm_up(Options(), cancelled=lambda: True)
    assert caught.value.code is ErrorCode.CANCELLED
