// What the other views of a scene show along the rays of one of them: three look-ups that gather from pictures at
// projected points. Forward only, float32; ../sightlines.py says what they compute.
//
// Lanes lie along a ray: a camera sees a line as a line, so a point's homogeneous image position is a + depth * b with
// a and b worked out once for all lanes. Pictures have their channels next to each other, so the four neighbours of
// a point are two runs of memory; they are read lane by lane, everything else is vectors. Threads share out the rays.
#include <algorithm>
#include "abi.h"
#include "vecmath.h"

namespace mvgamba {

// Mirrored by `_Rays` in ../sightlines_cpu.py.
struct Rays {
    int64_t views, view;  // how many there are, and whose rays these are; it is not asked
    int64_t size;         // of the pictures' sides
    int64_t rays, positions, threads;
    const float *M, *o;        // (views, 3, 3), (views, 3): M x + o, the picture being [-1, 1]^2
    const float* origin;       // (3)
    const float* directions;   // (rays, 3)
};

namespace {

constexpr float LEAST_DEPTH = 1e-6f;

typedef float Lanes[LANES];
typedef float Four __attribute__((vector_size(16)));  // channels of one pixel

MVGAMBA_INLINE Four four(const float* p) {
    Four v;
    memcpy(&v, p, sizeof v);
    return v;
}

// A ray in another view's picture: homogeneous position a + depth * b.
struct Line {
    float a[3], b[3];
    Line(const Rays& s, int64_t view, int64_t ray) {
        const float *M = s.M + view * 9, *o = s.o + view * 3, *d = s.directions + ray * 3;
        for (int i = 0; i < 3; i++) {
            a[i] = o[i] + M[3 * i] * s.origin[0] + M[3 * i + 1] * s.origin[1] + M[3 * i + 2] * s.origin[2];
            b[i] = M[3 * i] * d[0] + M[3 * i + 1] * d[1] + M[3 * i + 2] * d[2];
        }
    }
};

// Points of a ray: z-depth in the other view, and column and row in units of its picture's half side, as M gives them.
struct Points {
    Vec z, u, v;
    Points(const Line& line, Vec depth) {
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

// The picture between its pixels, zero outside; -> out[channel][lane].
template <int CHANNELS>
MVGAMBA_INLINE void between_pixels(const float* picture, int64_t size, const Points& p, Lanes* out) {
    const Vec x = in_pixels(p.u, size), y = in_pixels(p.v, size);
    const IVec left = __builtin_convertvector(x + 1.0f, IVec) - 1, top = __builtin_convertvector(y + 1.0f, IVec) - 1;
    const Vec right_share = x - __builtin_convertvector(left, Vec), low_share = y - __builtin_convertvector(top, Vec);
    for (int lane = 0; lane < LANES; lane++) {
        const int64_t i = left[lane], j = top[lane];
        const float r = right_share[lane], l = low_share[lane];
        const float* pixel = picture + (j * size + i) * CHANNELS;
        if (i >= 0 && j >= 0 && i + 1 < size && j + 1 < size) {
            const float* below = pixel + size * CHANNELS;
            int c = 0;
            for (; c + 4 <= CHANNELS; c += 4) {
                const Four left_high = four(pixel + c), left_low = four(below + c);
                const Four high = left_high + r * (four(pixel + CHANNELS + c) - left_high);
                const Four low = left_low + r * (four(below + CHANNELS + c) - left_low);
                const Four between = high + l * (low - high);
                for (int k = 0; k < 4; k++) out[c + k][lane] = between[k];
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
                for (int c = 0; c < CHANNELS; c++) out[c][lane] += share * pixel[(dj * size + di) * CHANNELS + c];
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

template <class Each>
void each_ray(const Rays& s, const Each& each) {
#pragma omp parallel for num_threads(s.threads) schedule(static)
    for (int64_t ray = 0; ray < s.rays; ray++) each(ray);
}

// Depth at which the line from position i, inside, to its neighbour j, outside, passes a half.
float crossing(const float* inside, const float* depth, int64_t i, int64_t j) {
    if (i == j) return depth[i];
    const float share = (inside[i] - 0.5f) / std::max(inside[i] - inside[j], 1e-6f);
    return depth[i] + std::min(std::max(share, 0.0f), 1.0f) * (depth[j] - depth[i]);
}

// tanh(x / 2)
MVGAMBA_INLINE Vec tanh_of_half(Vec x) { return 1.0f - 2.0f / (1.0f + exp(x)); }

}  // namespace
}  // namespace mvgamba

using namespace mvgamba;

// alpha (views, size, size); begins, ends, near, far (rays). positions at most MOST_POSITIONS.
MVGAMBA_EXPORT void mvgamba_silhouette_interval(const Rays* rays, const float* alpha, float floor, float softness,
                                                const float* begins, const float* ends, float* near, float* far) {
    const Rays& s = *rays;
    constexpr int64_t MOST_POSITIONS = 64;
    each_ray(s, [&](int64_t ray) {
        float inside[MOST_POSITIONS], depth[MOST_POSITIONS];
        const float* d = s.directions + ray * 3;
        const float step = (ends[ray] - begins[ray]) / (s.positions - 1);
        for (int64_t n = 0; n < s.positions; n += LANES) {
            const Vec t = begins[ray] + step * (counting() + static_cast<float>(n));
            store(depth + n, t);
            store(inside + n, within((s.origin[2] + t * d[2] - floor) / softness + 0.5f, 0.0f, 1.0f));
        }
        for (int64_t view = 0; view < s.views; view++) {
            if (view == s.view) continue;
            const Line line(s, view, ray);
            for (int64_t n = 0; n < s.positions; n += LANES) {
                Lanes seen[1];
                between_pixels<1>(alpha + view * s.size * s.size, s.size, Points(line, load(depth + n)), seen);
                store(inside + n, vmin(load(inside + n), load(seen[0])));
            }
        }
        int64_t first = 0, last = s.positions - 1;
        while (first < s.positions && !(inside[first] > 0.5f)) first++;
        near[ray] = far[ray] = 0.0f;
        if (first == s.positions) return;
        while (!(inside[last] > 0.5f)) last--;
        near[ray] = crossing(inside, depth, first, std::max<int64_t>(first - 1, 0));
        far[ray] = crossing(inside, depth, last, std::min(last + 1, s.positions - 1));
    });
}

// colors (views, size, size, 4): red, green, blue and cover; near, far (rays), own (rays, 3) -> out (rays, 2, positions).
MVGAMBA_EXPORT void mvgamba_color_agreement(const Rays* rays, const float* colors, const float* near, const float* far,
                                            const float* own, float* out) {
    const Rays& s = *rays;
    each_ray(s, [&](int64_t ray) {
        const float* mine = own + ray * 3;
        for (int64_t n = 0; n < s.positions; n += LANES) {
            const Vec share = (counting() + (static_cast<float>(n) + 0.5f)) / static_cast<float>(s.positions);
            const Vec t = near[ray] + (far[ray] - near[ray]) * share;
            Vec total{}, seen{}, least = splat(1.0f);
            for (int64_t view = 0; view < s.views; view++) {
                if (view == s.view) continue;
                Lanes look[4];
                between_pixels<4>(colors + view * s.size * s.size * 4, s.size, Points(Line(s, view, ray), t), look);
                Vec unlike{};
                for (int c = 0; c < 3; c++) unlike += absolute(load(look[c]) - mine[c]);
                unlike *= 1.0f / 3;
                const IVec known = load(look[3]) > 0.5f;
                total += known ? unlike : Vec{};
                seen += known ? splat(1.0f) : Vec{};
                least = known ? vmin(least, unlike) : least;
            }
            const Vec mean = seen > 0.0f ? total / vmax(seen, splat(1.0f)) : splat(1.0f);
            const int lanes = static_cast<int>(std::min<int64_t>(LANES, s.positions - n));
            float* to = out + ray * 2 * s.positions + n;
            store_first(to, mean, lanes);
            store_first(to + s.positions, least, lanes);
        }
    });
}

// pictures (views, size, size, 5), found (views, grid, grid, 5), depths (rays, positions), own (rays, 4)
// -> out (views - 1, rays, positions, TELLS), the views in order without the rays' own.
MVGAMBA_EXPORT void mvgamba_ask_views(const Rays* rays, const float* pictures, const float* found, int64_t grid,
                                      const float* depths, const float* own, float least_doubt, float* out) {
    const Rays& s = *rays;
    constexpr int TELLS = 10;
    each_ray(s, [&](int64_t ray) {
        const float* mine = own + ray * 4;
        for (int64_t view = 0; view < s.views; view++) {
            if (view == s.view) continue;
            const Line line(s, view, ray);
            float* to = out + ((view - (view > s.view)) * s.rays + ray) * s.positions * TELLS;
            for (int64_t n = 0; n < s.positions; n += LANES) {
                const int lanes = static_cast<int>(std::min<int64_t>(LANES, s.positions - n));
                const Points p(line, load_first(depths + ray * s.positions + n, lanes));
                Lanes look[5], there[5], told[TELLS];
                between_pixels<5>(pictures + view * s.size * s.size * 5, s.size, p, look);
                nearest_pixel<5>(found + view * grid * grid * 5, grid, p, there);
                const Vec known = load(there[4]);
                Vec unlike{};
                for (int c = 0; c < 3; c++) unlike += absolute(load(look[c]) - mine[c]);
                store(told[0], unlike * (1.0f / 3) * known);
                store(told[1], vmin(absolute(load(look[3]) - mine[3]), splat(3.0f)) * (1.0f / 3) * known);
                for (int hit = 0; hit < 2; hit++) {
                    const Vec doubt = load(there[2 + hit]) + least_doubt;
                    const Vec behind = tanh_of_half((p.z - load(there[hit])) / doubt) * known;
                    store(told[2 + 2 * hit], behind);
                    store(told[3 + 2 * hit], absolute(behind));
                    store(told[6 + hit], least_doubt / doubt * known);
                }
                store(told[8], known);
                store(told[9], load(look[4]));
                for (int lane = 0; lane < lanes; lane++)
                    for (int k = 0; k < TELLS; k++) *to++ = told[k][lane];
            }
        }
    });
}
