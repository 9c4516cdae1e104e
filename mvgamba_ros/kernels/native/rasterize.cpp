// Gaussian splatting on the CPU: B scenes of N Gaussians, V views each, forward and backward.
//
// Project all Gaussians into all views, sort each view by depth, list the splats of each tile, blend the tiles. The
// backward pass blends again, writes each tile's sums per splat into a slot of its own, and then adds the slots up per
// Gaussian. No two threads ever add to one number, so results do not depend on the threads or their order.
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "abi.h"
#include "parallel.h"
#include "rasterize_backward.h"
#include "rasterize_forward.h"

namespace mvgamba {
namespace {

constexpr int64_t LARGEST_IMAGE = 16384;  // sides, in pixels: a Splat keeps them in 16 bits
constexpr int64_t CHUNK = 1024;  // Gaussians per piece of work; fixed, so that sums do not depend on the thread count

template <class T>
std::unique_ptr<T[]> uninitialised(size_t n) {
    return std::unique_ptr<T[]>(new T[n]);
}

// The splats of one view and which tiles they touch.
struct View {
    Camera camera;
    Splat* splats = nullptr;        // (N,)
    std::vector<size_t> offsets;    // (tiles + 1,) into list
    std::vector<uint32_t> list;     // Gaussians, by tile and then by depth
    std::vector<uint32_t> slots;    // where the gradient of each entry of list goes
    uint32_t slot_count = 0;
};

}  // namespace

// What the forward keeps for the backward.
struct Rasterized {
    int64_t B, V, N;
    int width, height, tiles_x, tiles_y;
    std::unique_ptr<Splat[]> splats;  // (B, V, N)
    std::vector<View> views;          // (B * V,)

    Tile tile(int index) const {
        const int x = index % tiles_x * TILE, y = index / tiles_x * TILE;
        return {x, y, std::min(x + TILE, width), std::min(y + TILE, height)};
    }
    int tiles() const { return tiles_x * tiles_y; }
};

namespace {

void write_splats(const Projection& p, const Block& g, const float* colors, int width, int height, int count, Splat* out) {
    const Vec room = (g.peak + LOG2_255) * (2 * LN2);  // squared radius, in standard deviations, at alpha = 1/255
    const Vec reach_x = vsqrt(room * p.c00) + SPAN_SLACK, reach_y = vsqrt(room * p.var_y) + SPAN_SLACK;
    const Vec zero{}, w = splat((float)width), h = splat((float)height);
    // pixel x is inside when |x + 0.5 - center| <= reach; clipped first, so that the conversion cannot overflow, a NaN to 0
    const Vec x0 = vmin(vmax(zero, p.center_x - reach_x - 0.5f), w), x1 = vmin(vmax(zero, p.center_x + reach_x + 0.5f), w);
    const Vec y0 = vmin(vmax(zero, p.center_y - reach_y - 0.5f), h), y1 = vmin(vmax(zero, p.center_y + reach_y + 0.5f), h);
    const IVec seen = p.in_front & (IVec)(g.opacity >= ALPHA_MIN);
    const Vec falloff_x = -0.5f * LOG2E / p.var_x, falloff_y = -0.5f * LOG2E / p.var_y;
    for (int l = 0; l < count; l++) {
        Splat& s = out[l];
        s.x0 = s.x1 = 0;
        if (!seen[l]) continue;
        const int left = (int)std::ceil(x0[l]), right = (int)x1[l], top = (int)std::ceil(y0[l]), bottom = (int)y1[l];
        if (left >= right || top >= bottom) continue;
        s.x = p.center_x[l], s.y = p.center_y[l], s.z = p.z[l];
        s.slope = p.slope[l], s.falloff_x = falloff_x[l], s.falloff_y = falloff_y[l], s.peak = g.peak[l];
        for (int k = 0; k < 3; k++) s.color[k] = colors[3 * l + k];
        s.x0 = (int16_t)left, s.x1 = (int16_t)right, s.y0 = (int16_t)top, s.y1 = (int16_t)bottom;
    }
}

// Sorts (depth bits << 32 | index) by depth, stably. Positive floats sort like their bits; only the bits in which the
// nearest and the farthest differ need a pass.
void sort_by_depth(std::vector<uint64_t>& keys) {
    constexpr int BITS = 11;
    uint32_t low = UINT32_MAX, high = 0;
    for (uint64_t key : keys) {
        low = std::min(low, (uint32_t)(key >> 32));
        high = std::max(high, (uint32_t)(key >> 32));
    }
    std::vector<uint64_t> other(keys.size());
    for (int shift = 0; shift < 32 && low < high && (high - low) >> shift; shift += BITS) {
        uint32_t starts[1 << BITS] = {};
        const auto digit = [&](uint64_t key) { return (((uint32_t)(key >> 32) - low) >> shift) & ((1 << BITS) - 1); };
        for (uint64_t key : keys) starts[digit(key)]++;
        uint32_t position = 0;
        for (uint32_t& start : starts) position += std::exchange(start, position);
        for (uint64_t key : keys) other[starts[digit(key)]++] = key;
        keys.swap(other);
    }
}

void list_tiles(const Rasterized& r, View& view) {
    std::vector<uint64_t> keys;
    keys.reserve(r.N);
    std::vector<size_t> next(r.tiles() + 1, 0);
    const auto each_tile = [&](const Splat& s, auto visit) {
        for (int y = s.y0 / TILE; y <= (s.y1 - 1) / TILE; y++)
            for (int x = s.x0 / TILE; x <= (s.x1 - 1) / TILE; x++) visit(y * r.tiles_x + x);
    };
    size_t slot_count = 0;
    for (int64_t i = 0; i < r.N; i++) {
        Splat& s = view.splats[i];
        if (s.x0 == s.x1) continue;
        const size_t across = (s.x1 - 1) / TILE - s.x0 / TILE + 1, down = (s.y1 - 1) / TILE - s.y0 / TILE + 1;
        slot_count += across * down;
        if (slot_count > UINT32_MAX) throw std::bad_alloc();  // more than a slot's number can say
        uint32_t depth;
        memcpy(&depth, &s.z, sizeof depth);
        keys.push_back((uint64_t)depth << 32 | (uint32_t)i);
        s.slot = view.slot_count;
        each_tile(s, [&](int t) { next[t + 1]++; });
        view.slot_count = (uint32_t)slot_count;
    }
    for (int t = 0; t < r.tiles(); t++) next[t + 1] += next[t];
    view.offsets = next;
    sort_by_depth(keys);
    view.list.resize(view.slot_count);
    view.slots.resize(view.slot_count);
    for (size_t k = 0; k < keys.size(); k++) {
        __builtin_prefetch(&view.splats[(uint32_t)keys[std::min(k + PREFETCH, keys.size() - 1)]]);
        const uint32_t i = (uint32_t)keys[k];
        uint32_t slot = view.splats[i].slot;
        each_tile(view.splats[i], [&](int t) {
            view.list[next[t]] = i;
            view.slots[next[t]++] = slot++;
        });
    }
}

}  // namespace
}  // namespace mvgamba

using namespace mvgamba;

// Renders. All arrays are float32, C order, shapes as in rasterize.py; background
// is (B, V, 3). With `keep` not null it gets a handle for the backward, to be freed with mvgamba_rasterize_free.
MVGAMBA_EXPORT int mvgamba_rasterize_forward(
    const float* means, const float* quats, const float* scales, const float* opacities, const float* colors,
    const float* T_camera_world, const float* K, const float* background, int64_t B, int64_t V, int64_t N, int width,
    int height, int threads, float* color, float* depth, float* median, float* alpha, Rasterized** keep) {
    return status_of([=] {
        require_threads(threads);
        require(width >= 1 && width <= LARGEST_IMAGE && height >= 1 && height <= LARGEST_IMAGE && N <= UINT32_MAX);
        elements({B, V, N, 64});
        elements({B, V, width, height, 16});
        auto r = std::make_unique<Rasterized>();
        r->B = B, r->V = V, r->N = N, r->width = width, r->height = height;
        r->tiles_x = (width + TILE - 1) / TILE, r->tiles_y = (height + TILE - 1) / TILE;
        r->splats = uninitialised<Splat>((size_t)B * V * N);
        r->views.resize(B * V);
        for (int64_t i = 0; i < B * V; i++) {
            r->views[i].camera = make_camera(T_camera_world + 16 * i, K + 9 * i, width, height);
            r->views[i].splats = r->splats.get() + i * N;
        }
        const int64_t chunks = (N + CHUNK - 1) / CHUNK;
        each_task(B * chunks, threads, [&](int64_t task) {
            const int64_t b = task / chunks, start = task % chunks * CHUNK, stop = std::min(start + CHUNK, N);
            for (int64_t i = start; i < stop; i += LANES) {
                const int64_t at = b * N + i;
                const int count = (int)std::min<int64_t>(LANES, stop - i);
                const Block g = load_block(means + 3 * at, quats + 4 * at, scales + 3 * at, opacities + at, count);
                for (int64_t v = b * V; v < (b + 1) * V; v++)
                    write_splats(project(r->views[v].camera, g), g, colors + 3 * at, width, height, count,
                                 r->views[v].splats + i);
            }
        });
        each_task(B * V, threads, [&](int64_t v) { list_tiles(*r, r->views[v]); });
        const size_t pixels = (size_t)width * height;
        each_task(B * V * r->tiles(), threads, [&](int64_t task) {
            const int64_t v = task / r->tiles(), t = task % r->tiles();
            const View& view = r->views[v];
            const size_t begin = view.offsets[t], end = view.offsets[t + 1], image = v * pixels;
            tile_forward(view.splats, view.list.data() + begin, end - begin, r->tile((int)t), width, background + 3 * v,
                         {color + 3 * image, depth + image, median + image, alpha + image});
        });
        if (keep) *keep = r.release();
    });
}

// Gradients of all Gaussian attributes, and of the poses when d_T_camera_world is not null. d_depth and d_alpha, the
// gradients of those images, may be null.
MVGAMBA_EXPORT int mvgamba_rasterize_backward(
    const Rasterized* r, const float* means, const float* quats, const float* scales, const float* opacities,
    const float* color, const float* depth, const float* alpha, const float* d_color, const float* d_depth,
    const float* d_alpha, int threads, float* d_means, float* d_quats, float* d_scales, float* d_opacities,
    float* d_colors, float* d_T_camera_world) {
    return status_of([=] {
        require_threads(threads);
        const int64_t B = r->B, V = r->V, N = r->N;
        std::vector<size_t> starts(B * V + 1, 0);
        for (int64_t v = 0; v < B * V; v++) starts[v + 1] = starts[v] + r->views[v].slot_count;
        const auto moments = uninitialised<float>(starts.back() * MOMENTS);
        const size_t pixels = (size_t)r->width * r->height;
        each_task(B * V * r->tiles(), threads, [&](int64_t task) {
            const int64_t v = task / r->tiles(), t = task % r->tiles();
            const View& view = r->views[v];
            const size_t begin = view.offsets[t], end = view.offsets[t + 1], image = v * pixels;
            tile_backward(view.splats, view.list.data() + begin, end - begin, r->tile((int)t), r->width,
                          {color + 3 * image, depth + image, alpha + image, d_color + 3 * image,
                           d_depth ? d_depth + image : nullptr, d_alpha ? d_alpha + image : nullptr},
                          moments.get() + starts[v] * MOMENTS, view.slots.data() + begin);
        });

        const int64_t chunks = (N + CHUNK - 1) / CHUNK;
        const auto poses = uninitialised<Vec>(d_T_camera_world ? B * chunks * V * 12 : 0);
        each_task(B * chunks, threads, [&](int64_t task) {
            const int64_t b = task / chunks, start = task % chunks * CHUNK, stop = std::min(start + CHUNK, N);
            Vec* pose = d_T_camera_world ? poses.get() + task * V * 12 : nullptr;
            if (pose) std::fill(pose, pose + V * 12, Vec{});
            for (int64_t i = start; i < stop; i += LANES) {
                const int64_t at = b * N + i;
                const int count = (int)std::min<int64_t>(LANES, stop - i);
                const Block g = load_block(means + 3 * at, quats + 4 * at, scales + 3 * at, opacities + at, count);
                BlockGradient gradient;
                for (int64_t v = 0; v < V; v++) {
                    const View& view = r->views[b * V + v];
                    Vec m[MOMENTS]{};
                    IVec seen{};
                    bool any = false;
                    for (int l = 0; l < count; l++) {
                        const Splat& s = view.splats[i + l];
                        if (s.x0 == s.x1) continue;
                        any = true;
                        seen[l] = -1;
                        const int across = (s.x1 - 1) / TILE - s.x0 / TILE + 1, down = (s.y1 - 1) / TILE - s.y0 / TILE + 1;
                        const float* slot = moments.get() + (starts[b * V + v] + s.slot) * MOMENTS;
                        for (int t = 0; t < across * down; t++, slot += MOMENTS)
                            for (int k = 0; k < MOMENTS; k++) m[k][l] += slot[k];
                    }
                    if (any) project_backward(view.camera, g, m, seen, gradient, pose ? pose + 12 * v : nullptr);
                }
                shape_backward(g, gradient.M, d_scales + 3 * at, d_quats + 4 * at, count);
                for (int l = 0; l < count; l++) {
                    for (int k = 0; k < 3; k++) d_means[3 * (at + l) + k] = gradient.mean[k][l];
                    for (int k = 0; k < 3; k++) d_colors[3 * (at + l) + k] = gradient.color[k][l];
                    d_opacities[at + l] = gradient.opacity[l];
                }
            }
        });
        if (d_T_camera_world)
            for (int64_t v = 0; v < B * V; v++) {
                double total[12] = {};
                for (int64_t c = 0; c < chunks; c++)
                    for (int k = 0; k < 12; k++)
                        for (int l = 0; l < LANES; l++) total[k] += poses[((v / V * chunks + c) * V + v % V) * 12 + k][l];
                float* out = d_T_camera_world + 16 * v;
                for (int i = 0; i < 3; i++) {
                    for (int j = 0; j < 3; j++) out[4 * i + j] = (float)total[3 * i + j];
                    out[4 * i + 3] = (float)total[9 + i];
                }
                std::fill(out + 12, out + 16, 0.0f);
            }
    });
}

MVGAMBA_EXPORT void mvgamba_rasterize_free(Rasterized* r) { delete r; }
