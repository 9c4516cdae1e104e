// Compositing inside one tile of an image, forward and backward.
//
// A tile's pixels stay in the first-level cache while its splats, nearest first, are blended over them one row span at
// a time. Lanes lie along the row and start where the span starts, not on a grid: splats are a few pixels wide, and
// aligned vectors would be mostly idle. Rows are padded by a vector, whose pixels count as finished.
//
// The backward pass walks front to back as well and repeats the forward's very decisions, so the forward has to keep
// nothing but the images: what lies behind a splat is the pixel's total less what has been passed.
#pragma once
#include <algorithm>
#include <cmath>

#include "rasterize_project.h"

namespace mvgamba {

constexpr int TILE = 32;
constexpr int STRIDE = TILE + LANES;
constexpr int TILE_PIXELS = TILE * STRIDE;
constexpr int BLOCK = 8;         // rows of a block, the unit in which finished pixels are known
constexpr int BLOCK_WIDTH = LANES > BLOCK ? LANES : BLOCK;
constexpr size_t PREFETCH = 8;   // splats ahead: in depth order they lie anywhere in memory
constexpr int PROBE_EVERY = 32;  // splats between two checks which blocks are finished
static_assert(TILE % BLOCK == 0 && TILE % BLOCK_WIDTH == 0 && TILE / BLOCK_WIDTH <= 8);

MVGAMBA_INLINE Vec lane_index() {
    Vec v{};
    for (int i = 0; i < LANES; i++) v[i] = (float)i;
    return v;
}

// The sum of the lanes by halves: ten of these end every splat of the backward pass.
MVGAMBA_INLINE float horizontal_sum(Vec v) {
#if MVGAMBA_LANES == 16
    return _mm512_reduce_add_ps((__m512)v);
#elif defined(__x86_64__)
#if MVGAMBA_LANES == 8
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128((__m256)v), _mm256_extractf128_ps((__m256)v, 1));
#else
    const __m128 four = (__m128)v;
#endif
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
#else
    return vaddvq_f32((float32x4_t)v);
#endif
}

// Whether no lane is above zero.
MVGAMBA_INLINE bool none_positive(Vec v) {
#if MVGAMBA_LANES == 16
    return _mm512_cmp_ps_mask((__m512)v, _mm512_setzero_ps(), _CMP_GT_OQ) == 0;
#elif MVGAMBA_LANES == 8
    return _mm256_movemask_ps((__m256)(v > 0.0f)) == 0;
#elif defined(__x86_64__)
    return _mm_movemask_ps((__m128)(v > 0.0f)) == 0;
#else
    return vmaxvq_f32((float32x4_t)v) <= 0.0f;
#endif
}

struct Tile {
    int x0, y0, x1, y1;  // pixels [x0, x1) x [y0, y1) of the image
};

// The rows of a splat inside a tile: [begin, end) of the pixels where it can be seen, x's mean, and log2(alpha) there.
struct alignas(64) Rows {
    int32_t begin[TILE + LANES], end[TILE + LANES];
    float mean[TILE + LANES], peak[TILE + LANES], dy[TILE + LANES];
    int first, last;  // rows [first, last) of the image
};

MVGAMBA_INLINE void find_rows(const Splat& s, const Tile& tile, Rows& rows) {
    rows.first = std::max<int>(s.y0, tile.y0);
    rows.last = std::min<int>(s.y1, tile.y1);
    const float widen = -1.0f / s.falloff_x;
    const Vec left = splat((float)tile.x0), right = splat((float)tile.x1), iota = lane_index();
    for (int r = 0; r < rows.last - rows.first; r += LANES) {
        const Vec dy = iota + ((float)(rows.first + r) + 0.5f - s.y);
        const Vec mean = s.x + s.slope * dy;
        const Vec peak = s.peak + s.falloff_y * dy * dy;
        const Vec room = peak + (LOG2_255 + 1e-4f);  // how far log2(alpha) may fall
        const Vec half = vsqrt(vmax(room, splat(0.0f)) * widen) + SPAN_SLACK;
        // pixel x is inside when |x + 0.5 - mean| <= half
        const Vec begin = vmin(vmax(mean - half - 0.5f, left), right);
        const Vec end = vmin(vmax(mean + half + 0.5f, left), right);
        IVec whole = __builtin_convertvector(begin, IVec);
        whole -= (IVec)(begin > __builtin_convertvector(whole, Vec));  // a true lane is -1: rounds up
        const IVec stop = __builtin_convertvector(end, IVec);
        const IVec in_reach = (IVec)(room > 0.0f);
        const IVec clipped = in_reach ? stop : IVec{};
        memcpy(rows.begin + r, &whole, sizeof whole);
        memcpy(rows.end + r, &clipped, sizeof clipped);
        store(rows.mean + r, mean);
        store(rows.peak + r, peak);
        store(rows.dy + r, dy);
    }
}

// One splat over LANES pixels. Both passes go through this, so both take the same decisions.
struct Blend {
    Vec e;           // x's distance from its mean in the row
    Vec unclamped;   // alpha before the clamp
    Vec alpha;
    Vec before, after;  // transmittance, negative once the pixel is finished
    IVec hit;        // lanes where the splat is blended
    Vec weight;      // transmittance times alpha there, else 0
};

MVGAMBA_INLINE Blend blend(Vec e, float falloff, float peak, Vec before) {
    Blend b;
    b.e = e;
    b.unclamped = exp2(falloff * e * e + peak);
    b.alpha = vmin(b.unclamped, splat(ALPHA_MAX));
    b.before = before;
    const Vec after = before - before * b.alpha;
    const IVec visible = b.alpha >= ALPHA_MIN;
    b.hit = visible & (IVec)(after > TRANSMITTANCE_MIN);
    b.weight = b.hit ? before * b.alpha : Vec{};
    const Vec unchanged = (Vec)((IVec)before | (visible & (int32_t)0x80000000));  // seen but not blended: finished
    b.after = b.hit ? after : unchanged;
    return b;
}

// Which blocks of a tile still have unfinished pixels. On an opaque object most of what lies behind the visible surface
// is dropped here, before its rows are read.
struct Unfinished {
    uint8_t blocks[TILE / BLOCK];  // a bit per block along the row
    bool any;

    void update(const float* transmittance) {
        any = false;
        for (int row = 0; row < TILE / BLOCK; row++) {
            blocks[row] = 0;
            for (int column = 0; column < TILE / BLOCK_WIDTH; column++) {
                Vec most = splat(-1.0f);
                for (int y = 0; y < BLOCK; y++)
                    for (int x = 0; x < BLOCK_WIDTH; x += LANES)
                        most = vmax(most, load(transmittance + (row * BLOCK + y) * STRIDE + column * BLOCK_WIDTH + x));
                if (!none_positive(most)) blocks[row] |= 1 << column;
            }
            any |= blocks[row] != 0;
        }
    }

    bool touched_by(const Splat& s, const Tile& tile) const {
        const int first = (std::max<int>(s.x0, tile.x0) - tile.x0) / BLOCK_WIDTH;
        const int last = (std::min<int>(s.x1, tile.x1) - 1 - tile.x0) / BLOCK_WIDTH;
        const int columns = (2 << last) - (1 << first);
        const int bottom = (std::min<int>(s.y1, tile.y1) - 1 - tile.y0) / BLOCK;
        int touched = 0;
        for (int row = (std::max<int>(s.y0, tile.y0) - tile.y0) / BLOCK; row <= bottom; row++) touched |= blocks[row];
        return touched & columns;
    }
};

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
