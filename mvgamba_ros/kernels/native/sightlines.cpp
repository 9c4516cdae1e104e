// What the other views of a scene show along the rays of one of them: three look-ups that gather from pictures at
// projected points. Forward only, float32; ../sightlines.py says what they compute. Threads share out the rays.
#include "sightlines.h"
#include <algorithm>
#include "abi.h"

namespace mvgamba {
namespace {

// Depth at which the line from position i, inside, to its neighbour j, outside, passes a half.
float crossing(const float* inside, const float* depth, int64_t i, int64_t j) {
    if (i == j) return depth[i];
    const float share = (inside[i] - 0.5f) / std::max(inside[i] - inside[j], 1e-6f);
    return depth[i] + std::min(std::max(share, 0.0f), 1.0f) * (depth[j] - depth[i]);
}

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
MVGAMBA_EXPORT void mvgamba_photometric_cost(const Rays* rays, const float* colors, const float* near, const float* far,
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
// -> out (views - 1, rays, positions, NUM_VIEW_FEATURES), the views in order without the rays' own.
MVGAMBA_EXPORT void mvgamba_sample_source_views(const Rays* rays, const float* pictures, const float* found, int64_t grid,
                                      const float* depths, const float* own, float least_doubt, float* out) {
    const Rays& s = *rays;
    each_ray(s, [&](int64_t ray) {
        for (int64_t view = 0; view < s.views; view++) {
            if (view == s.view) continue;
            const Line line(s, view, ray);
            float* to = out + ((view - (view > s.view)) * s.rays + ray) * s.positions * NUM_VIEW_FEATURES;
            each_vector(s.positions, [&](int64_t n, int lanes) {
                Vec told[NUM_VIEW_FEATURES];
                tell(line, load_some(depths + ray * s.positions + n, lanes), pictures + view * s.size * s.size * 5,
                     s.size, found + view * grid * grid * 5, grid, own + ray * 4, least_doubt, told);
                for (int lane = 0; lane < lanes; lane++)
                    for (int k = 0; k < NUM_VIEW_FEATURES; k++) *to++ = told[k][lane];
            });
        }
    });
}
