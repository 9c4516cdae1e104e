"""Colour models: where a colour's density lies, and that the fast smoothing is the one it says it is."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from mvgamba_ros.config.cues_config import ColorConfig
from mvgamba_ros.segmentation.color_model import cells, histogram, shape

CONFIG = ColorConfig()
CELLS = shape(CONFIG)


def test_a_density_is_the_counts_smoothed_with_zeros_around() -> None:
    rng = np.random.default_rng(0)
    flat = rng.integers(0, np.prod(CELLS), (40, 50))
    weights = rng.random(flat.shape).astype(np.float32)
    counts = np.bincount(flat.ravel(), weights.ravel(), minlength=int(np.prod(CELLS))).reshape(CELLS)
    expected = gaussian_filter(counts, CONFIG.blur, mode="constant", radius=CONFIG.blur_radius).ravel()
    found = histogram(flat, weights, CONFIG)
    np.testing.assert_allclose(found, expected / expected.sum(), atol=1e-8)
    assert abs(found.sum() - 1.0) < 1e-5


def test_a_density_is_highest_at_the_colour_that_was_seen_and_zero_where_nothing_was() -> None:
    seen = cells(np.full((10, 10, 3), [50.0, 20.0, -30.0], np.float32), CONFIG)
    density = histogram(seen, None, CONFIG)
    assert density.argmax() == seen[0, 0]
    assert density[cells(np.array([[80.0, -20.0, 30.0]], np.float32), CONFIG)] == 0.0
    assert not histogram(seen, np.zeros(seen.shape, np.float32), CONFIG).any()
