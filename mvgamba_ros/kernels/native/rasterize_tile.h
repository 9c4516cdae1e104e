// Compositing inside one tile of an image: what the forward (rasterize_forward.h) and the backward pass
// (rasterize_backward.h) share.
//
// A tile's pixels stay in the first-level cache while its splats, nearest first, are blended over them one row span at
// a time. Lanes lie along the row and start where the span starts, not on a grid: splats are a few pixels wide, and
// aligned vectors would be mostly idle. Rows are padded by a vector, whose pixels count as finished.
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
        const Vec begin = vmin(vmax(left, mean - half - 0.5f), right);
        const Vec end = vmin(vmax(left, mean + half + 0.5f), right);
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

}  // namespace mvgamba
