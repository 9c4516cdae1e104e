// A bare loop of vectorised exponentials: the yardstick that the benchmark holds the scan against.
#include <algorithm>
#include "abi.h"
#include "vecmath.h"

using namespace mvgamba;

namespace {

// 2^t as it is mostly written: clamped, whole powers by the exponent, the rest by a polynomial, no table.
MVGAMBA_INLINE Vec exp2_by_polynomial(Vec t) {
    t = in_exp2_range(t);
    const Vec magic = splat(12582912.0f), whole = t + magic;
    return (Vec)((UVec)polynomial_of_whole(t - (whole - magic)) + ((UVec)whole << 23));
}

template <class Exp>
float loop(int64_t count, int64_t threads, Exp exp2_of) {
    float total = 0;
#pragma omp parallel for num_threads(threads) reduction(+ : total)
    for (int64_t i = 0; i < threads; i++) {
        Vec sums[4] = {}, step[4], t[4];
        for (int j = 0; j < 4; j++) step[j] = splat(-1e-7f * (j + 1)), t[j] = splat(-0.1f * (j + 1));
        for (int64_t n = count / threads / (4 * LANES); n > 0; n--)
            for (int j = 0; j < 4; j++) {
                sums[j] += exp2_of(t[j]);
                t[j] += step[j];
            }
        total += sum(sums[0] + sums[1] + sums[2] + sums[3]);
    }
    return total;
}

}  // namespace

// `count` floats' worth of exp2 on each thread's share, from and to registers; returns a sum, so that none is dropped.
// kind: 0 the kernels' own, arguments clamped as for an exp of unknown ones; 1 the same of arguments in range;
// 2 clamped, by a polynomial alone. Threads beyond what can be are as many as can be.
MVGAMBA_EXPORT float mvgamba_exp_loop(int64_t count, int64_t threads, int64_t kind) {
    threads = std::clamp<int64_t>(threads, 1, MOST_THREADS);
    if (kind == 0) return loop(count, threads, [](Vec t) { return exp2(t); });
    if (kind == 1) return loop(count, threads, [](Vec t) { return exp2_in_range(t); });
    return loop(count, threads, [](Vec t) { return exp2_by_polynomial(t); });
}
