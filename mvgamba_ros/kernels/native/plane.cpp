// What views show of a plane: whether they agree on its looks at a height, and where one view's picture of it matches
// another's. Forward only, float32, positions in float64; ../plane.py says what they compute.
#include <algorithm>
#include <cmath>
#include <vector>
#include "abi.h"
#include "vecmath.h"

namespace mvgamba {
namespace {

// A picture (height, width, FOURS * 4) between its pixels, whose centres are whole numbers; beyond its border as there.
template <int FOURS>
MVGAMBA_INLINE void between_pixels(const float* picture, int64_t width, int64_t height, float column, float row,
                                   Four (&out)[FOURS]) {
    const float x = std::min(std::max(column, 0.0f), static_cast<float>(width - 1));
    const float y = std::min(std::max(row, 0.0f), static_cast<float>(height - 1));
    const int64_t left = std::min<int64_t>(static_cast<int64_t>(x), std::max<int64_t>(width - 2, 0));
    const int64_t top = std::min<int64_t>(static_cast<int64_t>(y), std::max<int64_t>(height - 2, 0));
    const float right_share = x - static_cast<float>(left), low_share = y - static_cast<float>(top);
    const float* pixel = picture + (top * width + left) * FOURS * 4;
    const int64_t right = width > 1 ? FOURS * 4 : 0, below = height > 1 ? width * FOURS * 4 : 0;
    for (int f = 0; f < FOURS; f++) out[f] = between(pixel + 4 * f, right, below, right_share, low_share);
}

// The median of values[0..count), count at least 1; between two where it is even. Looked for among those of one bin of
// a histogram. `some`: room for `count`.
float median(const float* values, int64_t count, float* some) {
    constexpr int BINS = 512;
    constexpr float LOWEST = -64.0f, PER_UNIT = 4.0f;
    auto bin_of = [](float value) {
        return static_cast<int>(std::min(std::max((value - LOWEST) * PER_UNIT, 0.0f), BINS - 1.0f));
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

struct Agreement {
    double alike = 0.0, compared = 0.0;
};

// Colours (3, points) of two views where both are valid: how many are alike but for what their medians differ by.
void compare(const float* colors, const uint8_t* valid, const float* others, const uint8_t* others_valid,
             int64_t points, int64_t least, float reach, float* away, float* some, Agreement& sum) {
    int64_t both = 0;
    for (int64_t n = 0; n < points; n++) {
        for (int c = 0; c < 3; c++) away[c * points + both] = colors[c * points + n] - others[c * points + n];
        both += valid[n] & others_valid[n];
    }
    if (both < least) return;
    float gain[3];
    for (int c = 0; c < 3; c++) gain[c] = median(away + c * points, both, some);
    Vec alike{};
    each_vector(both, [&](int64_t n, int lanes) {
        Vec squares{};
        for (int c = 0; c < 3; c++) {
            const Vec x = load_some(away + c * points + n, lanes) - gain[c];
            squares += x * x;
        }
        for (int lane = 0; lane < lanes; lane++)
            alike[lane] += std::max(1.0f - std::sqrt(squares[lane]) / reach, 0.0f);
    });
    sum.alike += mvgamba::sum(alike);
    sum.compared += static_cast<double>(both);
}

}  // namespace
}  // namespace mvgamba

using namespace mvgamba;

// pictures: `views` of (heights[i], widths[i], 4), the fourth being 1 where the picture counts; flat (views, 3, points),
// up (views, 3), steps (count) -> out (count, 2): alike and compared.
MVGAMBA_EXPORT void mvgamba_plane_agreement(int64_t views, int64_t points, int64_t count, int64_t threads,
                                            const float* const* pictures, const int64_t* widths,
                                            const int64_t* heights, const double* flat, const double* up,
                                            const double* steps, int64_t least, float reach, double* out) {
#pragma omp parallel num_threads(threads)
    {
        std::vector<float> colors(views * 3 * points), away(3 * points), some(points);
        std::vector<uint8_t> valid(views * points);
#pragma omp for schedule(dynamic)
        for (int64_t step = 0; step < count; step++) {
            for (int64_t view = 0; view < views; view++) {
                const double *from = flat + view * 3 * points, *add = up + view * 3;
                for (int64_t n = 0; n < points; n++) {
                    const double z = from[2 * points + n] + steps[step] * add[2];
                    const double x = from[n] + steps[step] * add[0], y = from[points + n] + steps[step] * add[1];
                    const float column = static_cast<float>(x / z), row = static_cast<float>(y / z);
                    const bool inside = z > 0.0 && column > 0.0f && row > 0.0f &&
                                        column < static_cast<float>(widths[view] - 1) &&
                                        row < static_cast<float>(heights[view] - 1);
                    Four seen[1] = {};
                    if (inside) between_pixels(pictures[view], widths[view], heights[view], column, row, seen);
                    for (int c = 0; c < 3; c++) colors[(view * 3 + c) * points + n] = seen[0][c];
                    valid[view * points + n] = seen[0][3] > 0.5f;
                }
            }
            Agreement sum;
            for (int64_t i = 0; i < views; i++)
                for (int64_t j = 0; j < i; j++)
                    compare(&colors[i * 3 * points], &valid[i * points], &colors[j * 3 * points], &valid[j * points],
                            points, least, reach, away.data(), some.data(), sum);
            out[2 * step] = sum.alike;
            out[2 * step + 1] = sum.compared;
        }
    }
}

// Where the other window, a picture (other_height, other_width, 8), is on the plane at each pixel (height, width) of
// this one: ahead (3) and to_other (3, 3) of a homogeneous pixel say how far ahead the plane is of this camera, and
// where it is in the other window. -> columns, rows, seen (height, width), and what the picture shows, (8, height,
// width).
MVGAMBA_EXPORT void mvgamba_through_plane(int64_t width, int64_t height, const double* ahead, const double* to_other,
                                          const float* picture, int64_t other_width, int64_t other_height,
                                          float* columns, float* rows, uint8_t* seen, float* shown) {
    const int64_t pixels = width * height, stride = width + LANES;
    std::vector<float> looks(8 * stride);  // of a row: channels of a whole picture lie in each other's way in the caches
    for (int64_t i = 0; i < height; i++) {
        float *column = columns + i * width, *row = rows + i * width;
        uint8_t* is_seen = seen + i * width;
        for (int64_t j = 0; j < width; j++) {
            const double x = j + 0.5, y = i + 0.5;
            auto row_of = [&](const double* h) { return h[0] * x + (h[1] * y + h[2]); };
            const double depth = row_of(to_other + 6);
            const bool before_both = (row_of(ahead) > 0.0) & (depth > 0.0);
            const double scale = before_both ? 1.0 / depth : 0.0;
            auto clipped = [](double at) { return static_cast<float>(std::min(std::max(at, -1e4), 1e4)); };
            column[j] = clipped(row_of(to_other) * scale - 0.5);
            row[j] = clipped(row_of(to_other + 3) * scale - 0.5);
            is_seen[j] = before_both & (column[j] > 0.0f) & (row[j] > 0.0f) &
                         (column[j] < static_cast<float>(other_width - 1)) &
                         (row[j] < static_cast<float>(other_height - 1));
        }
        for (int64_t j = 0; j < width; j++) {
            Four look[2];
            between_pixels(picture, other_width, other_height, column[j], row[j], look);
            for (int c = 0; c < 8; c++) looks[c * stride + j] = look[c / 4][c % 4];
        }
        for (int c = 0; c < 8; c++) std::copy_n(&looks[c * stride], width, shown + c * pixels + i * width);
    }
}

namespace {

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

}  // namespace

// lab, lower, upper (3, height, width), steps (count), chance (height, width), which may rise -> match (height, width).
MVGAMBA_EXPORT void mvgamba_matches(int64_t width, int64_t height, const float* lab, const float* lower,
                                    const float* upper, float tolerance, const int64_t* steps, int64_t count,
                                    uint8_t* match, float* chance) {
    const int64_t pixels = width * height, far = count ? *std::max_element(steps, steps + count) : 0;
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
            Vec most = load_some(chance + i * width + j, lanes);
            for (int64_t k = 0; k < count; k++) {
                const int64_t below = wrapped_around(i + steps[k], height), above = wrapped_around(i - steps[k], height);
                const Ranges low(lower + below * width, upper + below * width, pixels);
                const Ranges high(lower + above * width, upper + above * width, pixels);
                Vec share{};
                for (const Vec away : {beside.away(color, j + steps[k], lanes), beside.away(color, j - steps[k], lanes),
                                       low.away(color, j, lanes), high.away(color, j, lanes)})
                    share += away < limit ? splat(0.25f) : Vec{};
                most = vmax(most, share);
            }
            store_some(chance + i * width + j, most, lanes);
        });
    }
}
