// Mean and maximum of features over views, joined with a position's own features: one pass instead of four.
// Forward only, float32 or bfloat16; ../pool.py defines what it computes.
#include "abi.h"
#include "vecmath.h"

namespace mvgamba {
namespace {

typedef uint16_t Half;  // a bfloat16: the upper half of a float
typedef Half HalfVec __attribute__((vector_size(LANES * 2)));

using mvgamba::load_some, mvgamba::store_some;  // those of floats
MVGAMBA_INLINE Vec load_some(const Half* p, int lanes) {
    HalfVec half{};
    lanes == LANES ? memcpy(&half, p, sizeof half) : memcpy(&half, p, sizeof(Half) * lanes);
    return (Vec)(__builtin_convertvector(half, UVec) << 16);
}
// To the nearest, ties to even; a NaN stays one.
MVGAMBA_INLINE void store_some(Half* p, Vec v, int lanes) {
    const UVec bits = (UVec)v;
    const UVec rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    const HalfVec half = __builtin_convertvector(v == v ? rounded : UVec{} + 0x7fc0, HalfVec);
    lanes == LANES ? memcpy(p, &half, sizeof half) : memcpy(p, &half, sizeof(Half) * lanes);
}

template <class T>
void pool(int64_t views, int64_t points, int64_t channels, int64_t others, int64_t threads, const T* view_features,
          const float* position_features, T* out) {
    require_threads(threads);
    require(views >= 1);
    elements({views, points, channels});
    const int64_t width = elements({2, channels}) + elements({others});
    elements({points, width});
    const float views_f = static_cast<float>(views);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t point = 0; point < points; point++) {
        T* to = out + point * width;
        each_vector(channels, [&](int64_t c, int lanes) {
            const T* from = view_features + point * channels + c;
            Vec sum = load_some(from, lanes), maximum = sum;
            for (int64_t view = 1; view < views; view++) {
                const Vec x = load_some(from + view * points * channels, lanes);
                sum += x;
                maximum = vmax(x, maximum);
            }
            store_some(to + c, sum / views_f, lanes);
            store_some(to + channels + c, maximum, lanes);
        });
        each_vector(others, [&](int64_t k, int lanes) {
            store_some(to + 2 * channels + k, load_some(position_features + point * others + k, lanes), lanes);
        });
    }
}

}  // namespace
}  // namespace mvgamba

using namespace mvgamba;

// view_features (views, points, channels), position_features (points, others) -> out (points, 2 * channels + others);
// elements of out and of view_features bfloat16 where `half`. At least one view.
MVGAMBA_EXPORT int mvgamba_pool_views(int64_t views, int64_t points, int64_t channels, int64_t others,
                                      int64_t threads, int64_t half, const void* view_features,
                                      const float* position_features, void* out) {
    return status_of([=] {
        if (half)
            pool(views, points, channels, others, threads, static_cast<const Half*>(view_features),
                 position_features, static_cast<Half*>(out));
        else
            pool(views, points, channels, others, threads, static_cast<const float*>(view_features),
                 position_features, static_cast<float*>(out));
    });
}
