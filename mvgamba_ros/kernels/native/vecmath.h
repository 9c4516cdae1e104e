// Vectors of MVGAMBA_LANES floats on the compiler's vector extension, and the few functions that kernels need of them.
//
// One source for SSE2 and NEON (4 lanes), AVX2 (8) and AVX-512 (16): GCC and Clang turn the operators into the
// instructions of the set that a library is compiled for.
#pragma once
#include <cstdint>
#include <cstring>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#ifndef MVGAMBA_LANES
#error "compile through CMakeLists.txt, which defines MVGAMBA_LANES"
#endif

namespace mvgamba {

constexpr int LANES = MVGAMBA_LANES;
typedef float Vec __attribute__((vector_size(LANES * 4)));
typedef int32_t IVec __attribute__((vector_size(LANES * 4)));

#define MVGAMBA_INLINE static inline __attribute__((always_inline))

constexpr float LOG2E = 1.44269504088896341f;
constexpr float LN2 = 0.693147180559945309f;

MVGAMBA_INLINE Vec load(const float* p) {
    Vec v;
    memcpy(&v, p, sizeof v);  // one unaligned load
    return v;
}
MVGAMBA_INLINE void store(float* p, Vec v) { memcpy(p, &v, sizeof v); }
MVGAMBA_INLINE Vec splat(float x) { return Vec{} + x; }
// A NaN in `a` stays a NaN (so clamps do not hide one), a NaN in `b` does not.
MVGAMBA_INLINE Vec vmax(Vec a, Vec b) { return b > a ? b : a; }
MVGAMBA_INLINE Vec vmin(Vec a, Vec b) { return b < a ? b : a; }

// The first `count` lanes from memory, the rest zero; and back.
MVGAMBA_INLINE Vec load_first(const float* p, int count) {
    Vec v{};
    memcpy(&v, p, sizeof(float) * count);
    return v;
}
MVGAMBA_INLINE void store_first(float* p, Vec v, int count) { memcpy(p, &v, sizeof(float) * count); }

MVGAMBA_INLINE float sum(Vec v) {
    float s = 0;
    for (int i = 0; i < LANES; i++) s += v[i];
    return s;
}

// 2^t to 2e-7 relative for -126 <= t <= 127; below that 2^-126 (a zero in every use here), above it 2^127.
//
// t = k + f with k whole and |f| <= 1/2. Adding 1.5 * 2^23 rounds to whole numbers in the current (nearest) mode and
// leaves k in the low bits, from where a shift moves it into the exponent. The polynomial is the minimax one of degree
// 5 in relative error on [-1/2, 1/2].
MVGAMBA_INLINE Vec exp2(Vec t) {
    const Vec magic = splat(12582912.0f);
    t = vmin(vmax(t, splat(-126.0f)), splat(127.0f));
    const Vec shifted = t + magic;
    const Vec f = t - (shifted - magic);
    Vec p = splat(1.327647198e-3f);
    p = p * f + 9.675541334e-3f;
    p = p * f + 5.550713274e-2f;
    p = p * f + 2.402211972e-1f;
    p = p * f + 6.931469671e-1f;
    p = p * f + 1.000000072f;
    return (Vec)((IVec)p + ((IVec)shifted << 23));
}
MVGAMBA_INLINE Vec exp(Vec x) { return exp2(x * LOG2E); }

MVGAMBA_INLINE Vec sigmoid(Vec x) { return 1.0f / (1.0f + exp(-x)); }

// log(1 + e^x) without overflow: max(x, 0) + log1p(e^-|x|), where log1p(e) = 2 artanh(e / (2 + e)) by its odd series
// in s = e / (2 + e) <= 1/3, minimax coefficients.
MVGAMBA_INLINE Vec softplus(Vec x) {
    const Vec e = exp(x < 0.0f ? x : -x);
    const Vec s = e / (2.0f + e);
    const Vec w = s * s;
    Vec q = w * 1.408916769e-1f + 1.398030132e-1f;
    q = q * w + 2.001245514e-1f;
    q = q * w + 3.333315734e-1f;
    q = q * w + 1.000000004f;
    return vmax(x, splat(0.0f)) + 2.0f * s * q;
}

}  // namespace mvgamba
