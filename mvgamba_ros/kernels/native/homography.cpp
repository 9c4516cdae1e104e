// Views compared through a plane: a plane sweep over its heights, and one view warped onto another by its homography.
// Forward only, float32, positions in float64; ../homography.py defines what they compute.
#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>
#include "abi.h"
#include "parallel.h"
#include "vecmath.h"

namespace mvgamba {
namespace {

// A picture (height, width, FOURS * 4) between its pixels, whose centres are whole numbers; beyond its border as there.
template <int FOURS>
MVGAMBA_INLINE void between_pixels(const float* picture, int64_t width, int64_t height, float column, float row,
                                   Four (&out)[FOURS]) {
    // in this order of arguments a NaN is 0
    const float x = std::min(std::max(0.0f, column), static_cast<float>(width - 1));
    const float y = std::min(std::max(0.0f, row), static_cast<float>(height - 1));
    const int64_t left = std::min<int64_t>(static_cast<int64_t>(x), std::max<int64_t>(width - 2, 0));
    const int64_t top = std::min<int64_t>(static_cast<int64_t>(y), std::max<int64_t>(height - 2, 0));
    const float right_share = x - static_cast<float>(left), low_share = y - static_cast<float>(top);
    const float* pixel = picture + (top * width + left) * FOURS * 4;
    const int64_t right = width > 1 ? FOURS * 4 : 0, below = height > 1 ? width * FOURS * 4 : 0;
    for (int f = 0; f < FOURS; f++) out[f] = between(pixel + 4 * f, right, below, right_share, low_share);
}

// The median of values[0..count), count at least 1, none NaN; between two where it is even. Looked for among those of one bin of
// a histogram. `some`: room for `count`.
float median(const float* values, int64_t count, float* some) {
    constexpr int BINS = 512;
    constexpr float LOWEST = -64.0f, PER_UNIT = 4.0f;
    auto bin_of = [](float value) {
        return static_cast<int>(std::min(std::max(0.0f, (value - LOWEST) * PER_UNIT), BINS - 1.0f));
    };
    int32_t counts[BINS] = {};
    for (int64_t i = 0; i < count; i++) counts[bin_of(values[i])]++;
    auto at_rank = [&](int64_t rank) {
        int bin = 0;
        for (; rank >= counts[bin]; bin++) rank -= counts[bin];
        float* end = some;
        for (int64_t i = 0; i < count; i++)
            if (bin_of(values[i]) == bin) *end++ = values[i];
        std::nth_element(some, some + rank, end);
        return some[rank];
    };
    const float lower = at_rank((count - 1) / 2);
    return count % 2 ? lower : 0.5f * (lower + at_rank(count / 2));
}

struct Consistency {
    double agreement = 0.0, compared = 0.0;
};

// Colours (3, points) of two views where both are valid: how well they agree but for the difference of their medians.
void compare(const float* colors, const uint8_t* valid, const float* others, const uint8_t* others_valid,
             int64_t points, int64_t min_compared, float tolerance, float* away, float* some, Consistency& sum) {
    int64_t both = 0;
    for (int64_t n = 0; n < points; n++) {
        for (int c = 0; c < 3; c++) away[c * points + both] = colors[c * points + n] - others[c * points + n];
        both += valid[n] & others_valid[n];
    }
    if (both < std::max<int64_t>(min_compared, 1)) return;
    float gain[3];
    for (int c = 0; c < 3; c++) gain[c] = median(away + c * points, both, some);
    Vec agreement{};
    each_vector(both, [&](int64_t n, int lanes) {
        Vec squares{};
        for (int c = 0; c < 3; c++) {
            const Vec x = load_some(away + c * points + n, lanes) - gain[c];
            squares += x * x;
        }
        for (int lane = 0; lane < lanes; lane++)
            agreement[lane] += std::max(1.0f - std::sqrt(squares[lane]) / tolerance, 0.0f);
    });
    sum.agreement += mvgamba::sum(agreement);
    sum.compared += static_cast<double>(both);
}

// What mvgamba_plane_sweep takes, but for the heights.
struct Sweep {
    int64_t views, points;
    const float* const* pictures;
    const int64_t *widths, *heights;
    const double *base_pixels, *vertical;
    int64_t min_compared;
    float tolerance;
};

// What a thread writes to on the way.
struct SweepRoom {
    std::vector<float> colors, away, some;
    std::vector<uint8_t> valid;
    SweepRoom(int64_t views, int64_t points)
        : colors(views * 3 * points), away(3 * points), some(points), valid(views * points) {}
};

bool finite(const Four& x) { return std::isfinite(x[0] + x[1] + x[2] + x[3]); }

// By value, and the addresses of what it writes: they stay in registers over its stores of bytes, which may alias.
void sweep_at(const Sweep s, double height, SweepRoom& room, double* out) {
    const int64_t points = s.points;
    float* const colors = room.colors.data();
    uint8_t* const all_valid = room.valid.data();
    for (int64_t view = 0; view < s.views; view++) {
        const double *from = s.base_pixels + view * 3 * points, *add = s.vertical + view * 3;
        for (int64_t n = 0; n < points; n++) {
            const double z = from[2 * points + n] + height * add[2];
            const double x = from[n] + height * add[0], y = from[points + n] + height * add[1];
            const float column = static_cast<float>(x / z), row = static_cast<float>(y / z);
            const bool inside = z > 0.0 && column > 0.0f && row > 0.0f &&
                                column < static_cast<float>(s.widths[view] - 1) &&
                                row < static_cast<float>(s.heights[view] - 1);
            Four seen[1] = {};
            if (inside) between_pixels(s.pictures[view], s.widths[view], s.heights[view], column, row, seen);
            for (int c = 0; c < 3; c++) colors[(view * 3 + c) * points + n] = seen[0][c];
            all_valid[view * points + n] = seen[0][3] > 0.5f && finite(seen[0]);
        }
    }
    Consistency sum;
    for (int64_t i = 0; i < s.views; i++)
        for (int64_t j = 0; j < i; j++)
            compare(room.colors.data() + i * 3 * points, room.valid.data() + i * points,
                    room.colors.data() + j * 3 * points, room.valid.data() + j * points, points, s.min_compared,
                    s.tolerance, room.away.data(), room.some.data(), sum);
    out[0] = sum.agreement;
    out[1] = sum.compared;
}

void check_picture(int64_t width, int64_t height, int64_t channels) {
    require(width >= 1 && height >= 1 && width <= LARGEST_SIDE && height <= LARGEST_SIDE);
    elements({width, height, channels});
}

void warp_by_homography(int64_t width, int64_t height, const double* depth_row, const double* homography, const float* picture,
                        int64_t other_width, int64_t other_height, float* columns, float* rows, uint8_t* seen,
                        float* warped) {
    check_picture(other_width, other_height, 8);
    const int64_t pixels = elements({width, height, 8}) / 8, stride = width + LANES;
    std::vector<float> colors(8 * stride);  // of a row: channels of a whole picture lie in each other's way in the caches
    for (int64_t i = 0; i < height; i++) {
        float *column = columns + i * width, *row = rows + i * width;
        uint8_t* is_seen = seen + i * width;
        for (int64_t j = 0; j < width; j++) {
            const double x = j + 0.5, y = i + 0.5;
            auto product = [&](const double* h) { return h[0] * x + (h[1] * y + h[2]); };
            const double depth = product(homography + 6);
            const bool in_front = (product(depth_row) > 0.0) & (depth > 0.0);
            const double scale = in_front ? 1.0 / depth : 0.0;
            auto clipped = [](double at) { return static_cast<float>(std::min(std::max(-1e4, at), 1e4)); };
            column[j] = clipped(product(homography) * scale - 0.5);
            row[j] = clipped(product(homography + 3) * scale - 0.5);
            is_seen[j] = in_front & (column[j] > 0.0f) & (row[j] > 0.0f) &
                         (column[j] < static_cast<float>(other_width - 1)) &
                         (row[j] < static_cast<float>(other_height - 1));
        }
        for (int64_t j = 0; j < width; j++) {
            Four color[2];
            between_pixels(picture, other_width, other_height, column[j], row[j], color);
            for (int c = 0; c < 8; c++) colors[c * stride + j] = color[c / 4][c % 4];
        }
        for (int c = 0; c < 8; c++) std::copy_n(&colors[c * stride], width, warped + c * pixels + i * width);
    }
}

// The ranges of colours of a row of pixels: three lower bounds and three upper ones.
struct Ranges {
    const float* bounds[6];
    Ranges(const float* lower, const float* upper, int64_t stride)
        : bounds{lower, lower + stride, lower + 2 * stride, upper, upper + stride, upper + 2 * stride} {}
    // How far colours are from the ranges of the pixels at `at` and after it, squared.
    Vec away(const Vec (&color)[3], int64_t at, int lanes) const {
        Vec squares{};
        for (int c = 0; c < 3; c++) {
            const Vec low = load_some(bounds[c] + at, lanes), high = load_some(bounds[3 + c] + at, lanes);
            const Vec away = color[c] - vmin(vmax(color[c], low), high);
            squares += away * away;
        }
        return squares;
    }
};

int64_t wrapped_around(int64_t i, int64_t size) { return ((i % size) + size) % size; }

void match_colors(int64_t width, int64_t height, const float* lab, const float* lower, const float* upper, float tolerance,
                  const int64_t* offsets, int64_t count, uint8_t* match, float* chance) {
    check_picture(width, height, 6);
    elements({count, 2});
    std::vector<int64_t> across(count), down(count);
    for (int64_t k = 0; k < count; k++) {
        across[k] = wrapped_around(offsets[k], width);
        down[k] = wrapped_around(offsets[k], height);
    }
    const int64_t pixels = width * height, far = count ? *std::max_element(across.begin(), across.end()) : 0;
    const int64_t stride = width + 2 * far;
    const float limit = tolerance * tolerance;
    std::vector<float> wrapped(6 * stride);  // a row of the ranges, going on at its other end
    for (int64_t i = 0; i < height; i++) {
        const Ranges here(lower + i * width, upper + i * width, pixels);
        for (int k = 0; k < 6; k++) {
            float* to = wrapped.data() + k * stride;
            for (int64_t j = 0; j < stride;) {  // the whole row as often as it takes, from where it begins
                const int64_t from = wrapped_around(j - far, width), some = std::min(width - from, stride - j);
                std::copy_n(here.bounds[k] + from, some, to + j);
                j += some;
            }
        }
        const Ranges beside(wrapped.data() + far, wrapped.data() + 3 * stride + far, stride);
        each_vector(width, [&](int64_t j, int lanes) {
            Vec color[3];
            for (int c = 0; c < 3; c++) color[c] = load_some(lab + c * pixels + i * width + j, lanes);
            const IVec near = here.away(color, j, lanes) < limit;
            for (int lane = 0; lane < lanes; lane++) match[i * width + j + lane] = near[lane] & 1;
            Vec highest = load_some(chance + i * width + j, lanes);
            for (int64_t k = 0; k < count; k++) {
                const int64_t below = wrapped_around(i + down[k], height);
                const int64_t above = wrapped_around(i - down[k], height);
                const Ranges low(lower + below * width, upper + below * width, pixels);
                const Ranges high(lower + above * width, upper + above * width, pixels);
                Vec share{};
                for (const Vec away : {beside.away(color, j + across[k], lanes), beside.away(color, j - across[k], lanes),
                                       low.away(color, j, lanes), high.away(color, j, lanes)})
                    share += away < limit ? splat(0.25f) : Vec{};
                highest = vmax(highest, share);
            }
            store_some(chance + i * width + j, highest, lanes);
        });
    }
}

}  // namespace
}  // namespace mvgamba

using namespace mvgamba;

// pictures: `views` of (heights[i], widths[i], 4), the fourth being 1 where the picture counts; base_pixels (views, 3,
// points), vertical (views, 3), steps (count), the plane's heights -> out (count, 2): agreement and compared. What is
// not finite is not compared.
MVGAMBA_EXPORT int mvgamba_plane_sweep(int64_t views, int64_t points, int64_t count, int64_t threads,
                                       const float* const* pictures, const int64_t* widths, const int64_t* heights,
                                       const double* base_pixels, const double* vertical, const double* steps,
                                       int64_t min_compared, float tolerance, double* out) {
    return status_of([=] {
        require_threads(threads);
        elements({views, 3, points});
        elements({count, 2});
        for (int64_t view = 0; view < views; view++) check_picture(widths[view], heights[view], 4);
        const Sweep sweep{views, points, pictures, widths, heights, base_pixels, vertical, min_compared, tolerance};
        Failure failure;
#pragma omp parallel num_threads(threads)
        {
            std::unique_ptr<SweepRoom> room;
            failure.guard([&] { room = std::make_unique<SweepRoom>(views, points); });
#pragma omp for schedule(dynamic)
            for (int64_t step = 0; step < count; step++)
                if (room) sweep_at(sweep, steps[step], *room, out + 2 * step);
        }
        failure.rethrow();
    });
}

// The other window's picture (other_height, other_width, 8) warped onto the pixels (height, width) of this one: of a
// homogeneous pixel, depth_row (3) gives the plane's depth in this camera but for a scale, and homography (3, 3) the
// homogeneous pixel in the other window. -> columns, rows, seen (height, width), and the warped picture, (8, height,
// width).
MVGAMBA_EXPORT int mvgamba_warp_by_homography(int64_t width, int64_t height, const double* depth_row,
                                              const double* homography, const float* picture, int64_t other_width,
                                              int64_t other_height, float* columns, float* rows, uint8_t* seen,
                                              float* warped) {
    return status_of([=] {
        warp_by_homography(width, height, depth_row, homography, picture, other_width, other_height, columns, rows, seen,
                           warped);
    });
}

// lab, lower, upper (3, height, width), offsets (count), chance (height, width), which may rise -> match (height, width).
MVGAMBA_EXPORT int mvgamba_match_colors(int64_t width, int64_t height, const float* lab, const float* lower,
                                        const float* upper, float tolerance, const int64_t* offsets, int64_t count,
                                        uint8_t* match, float* chance) {
    return status_of([=] {
        match_colors(width, height, lab, lower, upper, tolerance, offsets, count, match, chance);
    });
}
