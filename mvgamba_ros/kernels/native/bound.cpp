// A bare loop of vectorised exponentials: the yardstick that the benchmark holds the scan against.
#include "abi.h"
#include "vecmath.h"

using namespace mvgamba;

// `count` floats' worth of exp2 on each thread's share, from and to registers; answers a sum, so that none is dropped.
// bounded: arguments are clamped first, as for an exp of unknown arguments.
MVGAMBA_EXPORT float mvgamba_exp_loop(int64_t count, int64_t threads, int64_t bounded) {
    float total = 0;
#pragma omp parallel for num_threads(threads) reduction(+ : total)
    for (int64_t i = 0; i < threads; i++) {
        Vec sums[4] = {}, step[4], t[4];
        for (int j = 0; j < 4; j++) step[j] = splat(-1e-7f * (j + 1)), t[j] = splat(-0.1f * (j + 1));
        for (int64_t n = count / threads / (4 * LANES); n > 0; n--)
            for (int j = 0; j < 4; j++) {
                sums[j] += bounded ? exp2(t[j]) : exp2_in_range(t[j]);
                t[j] += step[j];
            }
        total += sum(sums[0] + sums[1] + sums[2] + sums[3]);
    }
    return total;
}
