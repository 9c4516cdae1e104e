// Compositing inside one tile of an image, forward.
#pragma once
#include "rasterize_tile.h"

namespace mvgamba {

struct Images {
    float* color;   // (H, W, 3)
    float *depth, *median, *alpha;  // (H, W)
};

// Blends the `count` splats that `list` names, nearest first, over a tile.
inline void tile_forward(const Splat* splats, const uint32_t* list, size_t count, const Tile& tile, int width,
                         const float* background, const Images& out) {
    alignas(64) float transmittance[TILE_PIXELS], red[TILE_PIXELS], green[TILE_PIXELS], blue[TILE_PIXELS],
        depth[TILE_PIXELS], median[TILE_PIXELS];
    const int columns = tile.x1 - tile.x0, lines = tile.y1 - tile.y0;
    for (int i = 0; i < TILE_PIXELS; i++) {
        red[i] = green[i] = blue[i] = depth[i] = median[i] = 0.0f;
        transmittance[i] = -1.0f;
    }
    for (int y = 0; y < lines; y++)
        for (int x = 0; x < columns; x++) transmittance[y * STRIDE + x] = 1.0f;

    Rows rows;
    Unfinished unfinished;
    const Vec iota = lane_index();
    for (size_t k = 0; k < count; k++) {
        if (k % PROBE_EVERY == 0) {
            unfinished.update(transmittance);
            if (!unfinished.any) break;
        }
        __builtin_prefetch(&splats[list[std::min(k + PREFETCH, count - 1)]]);
        const Splat& s = splats[list[k]];
        if (!unfinished.touched_by(s, tile)) continue;
        find_rows(s, tile, rows);
        for (int y = rows.first, r = 0; y < rows.last; y++, r++) {
            const float peak = rows.peak[r];
            const int end = rows.end[r];
            for (int x = rows.begin[r]; x < end; x += LANES) {
                const int q = (y - tile.y0) * STRIDE + (x - tile.x0);
                const Vec before = load(transmittance + q);
                if (none_positive(before)) continue;
                const Blend b = blend(iota + ((float)x + 0.5f - rows.mean[r]), s.falloff_x, peak, before);
                store(transmittance + q, b.after);
                store(red + q, load(red + q) + b.weight * s.color[0]);
                store(green + q, load(green + q) + b.weight * s.color[1]);
                store(blue + q, load(blue + q) + b.weight * s.color[2]);
                store(depth + q, load(depth + q) + b.weight * s.z);
                const IVec halfway = b.hit & (IVec)(b.before > 0.5f) & (IVec)(b.after <= 0.5f);
                store(median + q, halfway ? splat(s.z) : load(median + q));
            }
        }
    }

    for (int y = 0; y < lines; y++)
        for (int x = 0; x < columns; x++) {
            const int q = y * STRIDE + x;
            const size_t o = (size_t)(tile.y0 + y) * width + tile.x0 + x;
            const float through = std::fabs(transmittance[q]), alpha = 1.0f - through;
            out.color[3 * o] = red[q] + through * background[0];
            out.color[3 * o + 1] = green[q] + through * background[1];
            out.color[3 * o + 2] = blue[q] + through * background[2];
            out.depth[o] = alpha > 0.0f ? depth[q] / alpha : 0.0f;
            out.median[o] = median[q];
            out.alpha[o] = alpha;
        }
}

}  // namespace mvgamba
