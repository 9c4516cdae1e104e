// The source views of a scene sampled along the rays of a reference view: three look-ups that gather from pictures at
// projected points. Forward only, float32; ../epipolar.py defines what they compute. Threads share out the rays.
#include "epipolar.h"
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

void silhouette_interval(const Rays& s, const float* alpha, float floor, float softness, const float* begins,
                         const float* ends, float* near, float* far) {
    constexpr int64_t MAX_POSITIONS = 64;
    static_assert(MAX_POSITIONS % LANES == 0);
    check_rays(s, 1);
    require(s.positions >= 2 && s.positions <= MAX_POSITIONS);
    each_ray(s, [&](int64_t ray) {
        float inside[MAX_POSITIONS], depth[MAX_POSITIONS];
        const float* d = s.directions + ray * 3;
        const float step = (ends[ray] - begins[ray]) / (s.positions - 1);
        for (int64_t n = 0; n < s.positions; n += LANES) {
            const Vec t = begins[ray] + step * (counting() + static_cast<float>(n));
            store(depth + n, t);
            store(inside + n, within((s.origin[2] + t * d[2] - floor) / softness + 0.5f, 0.0f, 1.0f));
        }
        for (int64_t view = 0; view < s.views; view++) {
            if (view == s.view) continue;
            const EpipolarLine line(s, view, ray);
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

void photometric_cost(const Rays& s, const float* colors, const float* near, const float* far,
                      const float* reference_colors, float* out) {
    check_rays(s, 4);
    each_ray(s, [&](int64_t ray) {
        const float* reference = reference_colors + ray * 3;
        for (int64_t n = 0; n < s.positions; n += LANES) {
            const Vec share = (counting() + (static_cast<float>(n) + 0.5f)) / static_cast<float>(s.positions);
            const Vec t = near[ray] + (far[ray] - near[ray]) * share;
            Vec total{}, seen{}, least = splat(1.0f);
            for (int64_t view = 0; view < s.views; view++) {
                if (view == s.view) continue;
                Lanes color[4];
                between_pixels<4>(colors + view * s.size * s.size * 4, s.size, Points(EpipolarLine(s, view, ray), t), color);
                Vec difference{};
                for (int c = 0; c < 3; c++) difference += absolute(load(color[c]) - reference[c]);
                difference *= 1.0f / 3;
                const IVec valid = load(color[3]) > 0.5f;
                total += valid ? difference : Vec{};
                seen += valid ? splat(1.0f) : Vec{};
                least = valid ? vmin(least, difference) : least;
            }
            const Vec mean = seen > 0.0f ? total / vmax(seen, splat(1.0f)) : splat(1.0f);
            const int lanes = static_cast<int>(std::min<int64_t>(LANES, s.positions - n));
            float* to = out + ray * 2 * s.positions + n;
            store_first(to, mean, lanes);
            store_first(to + s.positions, least, lanes);
        }
    });
}

void sample_source_views(const Rays& s, const SourceViews& sources, const float* depths,
                         const float* reference_colors, float* out) {
    check_source_views(s, sources);
    each_ray(s, [&](int64_t ray) {
        for (int64_t view = 0; view < s.views; view++) {
            if (view == s.view) continue;
            const EpipolarLine line(s, view, ray);
            float* to = out + ((view - (view > s.view)) * s.rays + ray) * s.positions * NUM_VIEW_FEATURES;
            each_vector(s.positions, [&](int64_t n, int lanes) {
                Vec features[NUM_VIEW_FEATURES];
                view_features(line, load_some(depths + ray * s.positions + n, lanes), sources, view,
                              reference_colors + ray * 4, features);
                for (int lane = 0; lane < lanes; lane++)
                    for (int k = 0; k < NUM_VIEW_FEATURES; k++) *to++ = features[k][lane];
            });
        }
    });
}

}  // namespace
}  // namespace mvgamba

using namespace mvgamba;

// alpha (views, size, size); begins, ends, near, far (rays). positions at most MAX_POSITIONS.
MVGAMBA_EXPORT int mvgamba_silhouette_interval(const Rays* rays, const float* alpha, float floor, float softness,
                                               const float* begins, const float* ends, float* near, float* far) {
    return status_of([=] { silhouette_interval(*rays, alpha, floor, softness, begins, ends, near, far); });
}

// colors (views, size, size, 4): red, green, blue and cover; near, far (rays), reference_colors (rays, 3)
// -> out (rays, 2, positions).
MVGAMBA_EXPORT int mvgamba_photometric_cost(const Rays* rays, const float* colors, const float* near, const float* far,
                                           const float* reference_colors, float* out) {
    return status_of([=] { photometric_cost(*rays, colors, near, far, reference_colors, out); });
}

// depths (rays, positions), reference_colors (rays, 4) -> out (views - 1, rays, positions, NUM_VIEW_FEATURES), the
// source views in order.
MVGAMBA_EXPORT int mvgamba_sample_source_views(const Rays* rays, const float* pictures, const float* depth_maps,
                                               int64_t grid, const float* depths, const float* reference_colors,
                                               float min_sigma, float* out) {
    return status_of([=] {
        const SourceViews sources{pictures, depth_maps, rays->size, grid, min_sigma};
        sample_source_views(*rays, sources, depths, reference_colors, out);
    });
}
