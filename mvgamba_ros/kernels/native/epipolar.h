// Sampling the source views at points of a ray, along its epipolar line: shared by the kernels that do.
//
// Lanes lie along a ray: a camera sees a line as a line, so a point's homogeneous image position is a + depth * b with
// a and b worked out once for all lanes. Pictures have their channels next to each other, so the four neighbours of
// a point are two runs of memory; they are read lane by lane, everything else is vectors.
#pragma once
#include "abi.h"
#include "vecmath.h"

namespace mvgamba {

// Mirrored by `Rays` in ../epipolar_cpu.py.
struct Rays {
    int64_t views, view;  // how many there are, and the reference view, whose rays these are; it is not sampled
    int64_t size;         // of the pictures' sides
    int64_t rays, positions, threads;
    const float *M, *o;        // (views, 3, 3), (views, 3): M x + o, the picture being [-1, 1]^2
    const float* origin;       // (3)
    const float* directions;   // (rays, 3)
};

namespace {

constexpr float LEAST_DEPTH = 1e-6f;

typedef float Lanes[LANES];

// The epipolar line of a ray in a source view: homogeneous image position a + depth * b.
struct EpipolarLine {
    float a[3], b[3];
    EpipolarLine(const Rays& s, int64_t view, int64_t ray) {
        const float *M = s.M + view * 9, *o = s.o + view * 3, *d = s.directions + ray * 3;
        for (int i = 0; i < 3; i++) {
            a[i] = o[i] + M[3 * i] * s.origin[0] + M[3 * i + 1] * s.origin[1] + M[3 * i + 2] * s.origin[2];
            b[i] = M[3 * i] * d[0] + M[3 * i + 1] * d[1] + M[3 * i + 2] * d[2];
        }
    }
};

// Points of a ray: z-depth in the source view, and column and row in units of its picture's half side, as M gives them.
struct Points {
    Vec z, u, v;
    Points(const EpipolarLine& line, Vec depth) {
        z = vmax(splat(LEAST_DEPTH), line.a[2] + depth * line.b[2]);
        const Vec inverse = 1.0f / z;
        u = (line.a[0] + depth * line.b[0]) * inverse;
        v = (line.a[1] + depth * line.b[1]) * inverse;
    }
};

// [-1, 1] in pixels of a side, centres at whole numbers; what is far outside, or NaN, just outside.
MVGAMBA_INLINE Vec in_pixels(Vec u, int64_t size) {
    const Vec x = (u + 1.0f) * (0.5f * size) - 0.5f;
    return vmin(vmax(splat(-1.0f), x), splat(static_cast<float>(size)));
}

// The picture between its pixels (bilinear), zero outside; -> out[channel][lane].
template <int CHANNELS>
MVGAMBA_INLINE void between_pixels(const float* picture, int64_t size, const Points& p, Lanes* out) {
    const Vec x = in_pixels(p.u, size), y = in_pixels(p.v, size);
    const IVec left = __builtin_convertvector(x + 1.0f, IVec) - 1, top = __builtin_convertvector(y + 1.0f, IVec) - 1;
    const Vec right_share = x - __builtin_convertvector(left, Vec), low_share = y - __builtin_convertvector(top, Vec);
    for (int lane = 0; lane < LANES; lane++) {
        const int64_t i = left[lane], j = top[lane];
        const float r = right_share[lane], l = low_share[lane];
        if (i >= 0 && j >= 0 && i + 1 < size && j + 1 < size) {
            const float* pixel = picture + (j * size + i) * CHANNELS;
            const float* below = pixel + size * CHANNELS;
            int c = 0;
            for (; c + 4 <= CHANNELS; c += 4) {
                const Four color = between(pixel + c, CHANNELS, size * CHANNELS, r, l);
                for (int k = 0; k < 4; k++) out[c + k][lane] = color[k];
            }
            for (; c < CHANNELS; c++) {
                const float high = pixel[c] + r * (pixel[CHANNELS + c] - pixel[c]);
                const float low = below[c] + r * (below[CHANNELS + c] - below[c]);
                out[c][lane] = high + l * (low - high);
            }
            continue;
        }
        for (int c = 0; c < CHANNELS; c++) out[c][lane] = 0.0f;
        for (int dj = 0; dj < 2; dj++)
            for (int di = 0; di < 2; di++) {
                if (i + di < 0 || j + dj < 0 || i + di >= size || j + dj >= size) continue;
                const float share = (di ? r : 1.0f - r) * (dj ? l : 1.0f - l);
                const float* pixel = picture + ((j + dj) * size + i + di) * CHANNELS;
                for (int c = 0; c < CHANNELS; c++) out[c][lane] += share * pixel[c];
            }
    }
}

// The nearest pixel, zero outside; -> out[channel][lane].
template <int CHANNELS>
MVGAMBA_INLINE void nearest_pixel(const float* picture, int64_t size, const Points& p, Lanes* out) {
    const Vec magic = splat(12582912.0f);  // adding it rounds to whole numbers
    const IVec column = __builtin_convertvector(in_pixels(p.u, size) + magic - magic, IVec);
    const IVec row = __builtin_convertvector(in_pixels(p.v, size) + magic - magic, IVec);
    for (int lane = 0; lane < LANES; lane++) {
        const int64_t i = column[lane], j = row[lane];
        const bool inside = i >= 0 && j >= 0 && i < size && j < size;
        const float* pixel = picture + (inside ? (j * size + i) * CHANNELS : 0);
        for (int c = 0; c < CHANNELS; c++) out[c][lane] = inside ? pixel[c] : 0.0f;
    }
}

MVGAMBA_INLINE Vec counting() {
    Vec v;
    for (int lane = 0; lane < LANES; lane++) v[lane] = static_cast<float>(lane);
    return v;
}
MVGAMBA_INLINE Vec within(Vec x, float low, float high) { return vmin(vmax(x, splat(low)), splat(high)); }

// tanh(x / 2)
MVGAMBA_INLINE Vec tanh_of_half(Vec x) { return 1.0f - 2.0f / (1.0f + exp(x)); }

// Mirrored by `ViewFeature` in ../ray_types.py, which defines them.
enum ViewFeature {
    COLOR_DIFFERENCE,
    GREY_DIFFERENCE,
    BEHIND_FIRST_HIT,
    OFF_FIRST_HIT,
    BEHIND_LAST_EXIT,
    OFF_LAST_EXIT,
    FIRST_HIT_CERTAINTY,
    LAST_EXIT_CERTAINTY,
    VALID,
    ALPHA,
    NUM_VIEW_FEATURES
};

// Pictures and depth maps of all views; see `SourceViews` in ../ray_types.py.
struct SourceViews {
    const float *pictures, *depth_maps;  // (views, size, size, 5), (views, grid, grid, 5)
    int64_t size, grid;
    float min_sigma;
};

// The features of source view `view` at the points of a ray at `depth`, whose own colours and grey are
// `reference_colors` (4), see sample_source_views in ../epipolar.py.
MVGAMBA_INLINE void view_features(const EpipolarLine& line, Vec depth, const SourceViews& sources, int64_t view,
                                  const float* reference_colors, Vec (&features)[NUM_VIEW_FEATURES]) {
    const Points p(line, depth);
    Lanes picture[5], surface[5];
    between_pixels<5>(sources.pictures + view * sources.size * sources.size * 5, sources.size, p, picture);
    nearest_pixel<5>(sources.depth_maps + view * sources.grid * sources.grid * 5, sources.grid, p, surface);
    const Vec valid = load(surface[4]);
    Vec difference{};
    for (int c = 0; c < 3; c++) difference += absolute(load(picture[c]) - reference_colors[c]);
    features[COLOR_DIFFERENCE] = difference * (1.0f / 3) * valid;
    features[GREY_DIFFERENCE] =
        vmin(absolute(load(picture[3]) - reference_colors[3]), splat(3.0f)) * (1.0f / 3) * valid;
    for (int hit = 0; hit < 2; hit++) {  // the first, then the last exit
        const Vec sigma = load(surface[2 + hit]) + sources.min_sigma;
        const Vec behind = tanh_of_half((p.z - load(surface[hit])) / sigma) * valid;
        features[BEHIND_FIRST_HIT + 2 * hit] = behind;
        features[OFF_FIRST_HIT + 2 * hit] = absolute(behind);
        features[FIRST_HIT_CERTAINTY + hit] = sources.min_sigma / sigma * valid;
    }
    features[VALID] = valid;
    features[ALPHA] = load(picture[4]);
}

inline void check_rays(const Rays& s, int channels) {
    require_threads(s.threads);
    require(s.view >= 0 && s.view < s.views && s.size >= 1 && s.size <= LARGEST_SIDE);
    elements({s.views, s.size, s.size, channels});
    elements({s.views, s.rays, s.positions, NUM_VIEW_FEATURES});
}

inline void check_source_views(const Rays& s, const SourceViews& sources) {
    check_rays(s, 5);
    require(sources.grid >= 1 && sources.grid <= LARGEST_SIDE);
    elements({s.views, sources.grid, sources.grid, 5});
}

template <class Each>
void each_ray(const Rays& s, const Each& each) {
#pragma omp parallel for num_threads(s.threads) schedule(static)
    for (int64_t ray = 0; ray < s.rays; ray++) each(ray);
}

}  // namespace
}  // namespace mvgamba
