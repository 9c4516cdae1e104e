// Compositing inside one tile of an image, backward: it walks front to back as well and repeats the forward's very
// decisions, so the forward has to keep nothing but the images: what lies behind a splat is the pixel's total less what
// has been passed.
#pragma once
#include "rasterize_tile.h"

namespace mvgamba {

// Images of the forward and their gradients; the latter of depth and alpha may be null.
struct ImageGradients {
    const float *color, *depth, *alpha;
    const float *d_color, *d_depth, *d_alpha;
};

// Writes, for each splat of the tile, its moments at slots[k] * MOMENTS.
inline void tile_backward(const Splat* splats, const uint32_t* list, size_t count, const Tile& tile, int width,
                          const ImageGradients& in, float* moments, const uint32_t* slots) {
    alignas(64) float transmittance[TILE_PIXELS], behind[TILE_PIXELS], d_red[TILE_PIXELS], d_green[TILE_PIXELS],
        d_blue[TILE_PIXELS], d_depth[TILE_PIXELS];
    const int columns = tile.x1 - tile.x0, lines = tile.y1 - tile.y0;
    for (int i = 0; i < TILE_PIXELS; i++) {
        behind[i] = d_red[i] = d_green[i] = d_blue[i] = d_depth[i] = 0.0f;
        transmittance[i] = -1.0f;
    }
    for (int y = 0; y < lines; y++)
        for (int x = 0; x < columns; x++) {
            const int q = y * STRIDE + x;
            const size_t o = (size_t)(tile.y0 + y) * width + tile.x0 + x;
            const float alpha = in.alpha[o], d_expected = in.d_depth && alpha > 0.0f ? in.d_depth[o] : 0.0f;
            transmittance[q] = 1.0f;
            d_red[q] = in.d_color[3 * o];
            d_green[q] = in.d_color[3 * o + 1];
            d_blue[q] = in.d_color[3 * o + 2];
            d_depth[q] = alpha > 0.0f ? d_expected / alpha : 0.0f;
            // sum over all splats of weight * (d_color . color + d_depth z), less what changes with the transmittance
            // that is left; the background drops out of it
            const float d_alpha = (in.d_alpha ? in.d_alpha[o] : 0.0f) - d_depth[q] * in.depth[o];
            behind[q] = d_red[q] * in.color[3 * o] + d_green[q] * in.color[3 * o + 1] + d_blue[q] * in.color[3 * o + 2] +
                        d_expected * in.depth[o] - (1.0f - alpha) * d_alpha;
        }

    Rows rows;
    Unfinished unfinished;
    const Vec iota = lane_index();
    for (size_t k = 0; k < count; k++) {
        if (k % PROBE_EVERY == 0) unfinished.update(transmittance);
        float* out = moments + (size_t)slots[k] * MOMENTS;
        const size_t ahead = std::min(k + PREFETCH, count - 1);
        __builtin_prefetch(&splats[list[ahead]]);
        __builtin_prefetch(moments + (size_t)slots[ahead] * MOMENTS, 1);
        const Splat& s = splats[list[k]];
        if (!unfinished.touched_by(s, tile)) {
            std::fill(out, out + MOMENTS, 0.0f);
            continue;
        }
        find_rows(s, tile, rows);
        Vec m[MOMENTS]{};
        for (int y = rows.first, r = 0; y < rows.last; y++, r++) {
            const float peak = rows.peak[r], dy = rows.dy[r];
            const int end = rows.end[r];
            Vec row_s{}, row_e{};
            for (int x = rows.begin[r]; x < end; x += LANES) {
                const int q = (y - tile.y0) * STRIDE + (x - tile.x0);
                const Vec before = load(transmittance + q);
                if (none_positive(before)) continue;
                const Blend b = blend(iota + ((float)x + 0.5f - rows.mean[r]), s.falloff_x, peak, before);
                store(transmittance + q, b.after);
                const Vec dr = load(d_red + q), dg = load(d_green + q), db = load(d_blue + q), dd = load(d_depth + q);
                const Vec value = dr * s.color[0] + dg * s.color[1] + db * s.color[2] + dd * s.z;
                const Vec rest = load(behind + q) - b.weight * value;
                store(behind + q, rest);
                const Vec d_alpha = b.before * value - rest / (1.0f - b.alpha);
                const IVec free = b.hit & (IVec)(b.unclamped <= ALPHA_MAX);
                const Vec d_log = free ? b.alpha * d_alpha : Vec{};
                const Vec d_log_e = d_log * b.e;
                row_s += d_log;
                row_e += d_log_e;
                m[S_EE] += d_log_e * b.e;
                m[RED] += b.weight * dr;
                m[GREEN] += b.weight * dg;
                m[BLUE] += b.weight * db;
                m[DEPTH] += b.weight * dd;
            }
            m[S] += row_s;
            m[S_E] += row_e;
            m[S_Y] += row_s * dy;
            m[S_EY] += row_e * dy;
            m[S_YY] += row_s * (dy * dy);
        }
        for (int i = 0; i < MOMENTS; i++) out[i] = horizontal_sum(m[i]);
    }
}

}  // namespace mvgamba
