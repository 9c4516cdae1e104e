"""What is done view by view is the same done side by side."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from patience import PATIENCE
from rendered import views

from mvgamba_ros.parallel import each
from mvgamba_ros.segmentation.classical.classical_segmenter import ClassicalSegmenter
from mvgamba_ros.types import Prompts


def test_answers_come_in_order_and_several_run_at_once(threads: int) -> None:
    torch.set_num_threads(3)
    together = threading.Barrier(3, timeout=PATIENCE)

    def meet(x: int, y: int) -> int:
        together.wait()
        return x - y

    assert each(meet, [5, 7, 9], range(3)) == [5, 6, 7]
    assert each(meet, [], []) == []


@pytest.mark.parametrize("count", [1, 4])
def test_the_first_error_is_raised(threads: int, count: int) -> None:
    torch.set_num_threads(count)
    with pytest.raises(ValueError, match="'two'"):
        each(int, ["1", "two", "3", "four"])


def test_silhouettes_do_not_depend_on_the_number_of_threads(threads: int) -> None:
    plain = [replace(view, mask=None, depth=None) for view in views(4)]
    found = []
    for count in (1, 4):
        torch.set_num_threads(count)
        found.append(np.stack(ClassicalSegmenter()(plain, Prompts()).masks))
    assert np.mean(found[0] != found[1]) < 1e-5  # the network's sums are rounded otherwise
