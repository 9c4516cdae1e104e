// Vectors of MVGAMBA_LANES floats on the compiler's vector extension, and the few functions that kernels need of them.
//
// One source for SSE2 and NEON (4 lanes), AVX2 (8) and AVX-512 (16): GCC and Clang turn the operators into the
// instructions of the set that a library is compiled for.
#pragma once
#include <cstdint>
#include <cstring>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#ifndef MVGAMBA_LANES
#error "compile through CMakeLists.txt, which defines MVGAMBA_LANES"
#endif

namespace mvgamba {

constexpr int LANES = MVGAMBA_LANES;
typedef float Vec __attribute__((vector_size(LANES * 4)));
typedef int32_t IVec __attribute__((vector_size(LANES * 4)));
typedef uint32_t UVec __attribute__((vector_size(LANES * 4)));  // for bits that may overflow, which no IVec may

#define MVGAMBA_INLINE static inline __attribute__((always_inline))

constexpr float LOG2E = 1.44269504088896341f;
constexpr float LN2 = 0.693147180559945309f;

MVGAMBA_INLINE Vec load(const float* p) {
    Vec v;
    memcpy(&v, p, sizeof v);  // one unaligned load
    return v;
}
MVGAMBA_INLINE void store(float* p, Vec v) { memcpy(p, &v, sizeof v); }
// For tensors larger than the caches: written to memory without reading what was there before. `p` lies on a border of
// vectors; other threads see it after `stores_done`.
MVGAMBA_INLINE void store_past_caches(float* p, Vec v) {
#if MVGAMBA_LANES == 16
    _mm512_stream_ps(p, (__m512)v);
#elif MVGAMBA_LANES == 8
    _mm256_stream_ps(p, (__m256)v);
#elif defined(__x86_64__)
    _mm_stream_ps(p, (__m128)v);
#else
    store(p, v);
#endif
}
MVGAMBA_INLINE void stores_done() {
#if defined(__x86_64__)
    _mm_sfence();
#endif
}
MVGAMBA_INLINE Vec splat(float x) { return Vec{} + x; }
// A product that the compiler does not fuse with the additions that use it. Fused with two, it is worked out twice: an
// instruction less, but a multiplication more, and where additions have pipes of their own (AMD's AVX-512) the
// multiplications are what a loop waits for.
MVGAMBA_INLINE Vec unfused(Vec product) {
#if defined(__x86_64__)
    asm("" : "+v"(product));
#else
    asm("" : "+w"(product));
#endif
    return product;
}
// A NaN in `a` stays a NaN (so clamps do not hide one), a NaN in `b` does not. The compiler does not make one
// instruction of the comparison, where the instruction set has it.
#if MVGAMBA_LANES == 16
MVGAMBA_INLINE Vec vmax(Vec a, Vec b) { return (Vec)_mm512_max_ps((__m512)b, (__m512)a); }
MVGAMBA_INLINE Vec vmin(Vec a, Vec b) { return (Vec)_mm512_min_ps((__m512)b, (__m512)a); }
#elif MVGAMBA_LANES == 8
MVGAMBA_INLINE Vec vmax(Vec a, Vec b) { return (Vec)_mm256_max_ps((__m256)b, (__m256)a); }
MVGAMBA_INLINE Vec vmin(Vec a, Vec b) { return (Vec)_mm256_min_ps((__m256)b, (__m256)a); }
#else
MVGAMBA_INLINE Vec vmax(Vec a, Vec b) { return b > a ? b : a; }
MVGAMBA_INLINE Vec vmin(Vec a, Vec b) { return b < a ? b : a; }
#endif

MVGAMBA_INLINE Vec absolute(Vec x) { return (Vec)((IVec)x & 0x7fffffff); }

// The first `count` lanes from memory, the rest zero; and back.
#if MVGAMBA_LANES == 16
MVGAMBA_INLINE Vec load_first(const float* p, int count) {
    return (Vec)_mm512_maskz_loadu_ps((__mmask16)((1u << count) - 1), p);
}
MVGAMBA_INLINE void store_first(float* p, Vec v, int count) {
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << count) - 1), (__m512)v);
}
#else
MVGAMBA_INLINE Vec load_first(const float* p, int count) {
    Vec v{};
    memcpy(&v, p, sizeof(float) * count);
    return v;
}
MVGAMBA_INLINE void store_first(float* p, Vec v, int count) { memcpy(p, &v, sizeof(float) * count); }
#endif

// Of a row's last vector, which may be a part of one.
MVGAMBA_INLINE Vec load_some(const float* p, int lanes) { return lanes == LANES ? load(p) : load_first(p, lanes); }
MVGAMBA_INLINE void store_some(float* p, Vec v, int lanes) {
    lanes == LANES ? store(p, v) : store_first(p, v, lanes);
}
// Calls run(place, lanes) for each vector of a row of `width`; lanes is LANES but for the last.
template <class Run>
MVGAMBA_INLINE void each_vector(int64_t width, Run run) {
    int64_t d = 0;
    for (; d + LANES <= width; d += LANES) run(d, LANES);
    if (d < width) run(d, static_cast<int>(width - d));
}

// Four channels of one pixel, in every instruction set.
typedef float Four __attribute__((vector_size(16)));
MVGAMBA_INLINE Four four(const float* p) {
    Four v;
    memcpy(&v, p, sizeof v);
    return v;
}
// Between a pixel and those `right` and `below` of it, so many floats further on, by their shares.
MVGAMBA_INLINE Four between(const float* pixel, int64_t right, int64_t below, float right_share, float low_share) {
    const Four left_high = four(pixel), left_low = four(pixel + below);
    const Four high = left_high + right_share * (four(pixel + right) - left_high);
    const Four low = left_low + right_share * (four(pixel + below + right) - left_low);
    return high + low_share * (low - high);
}

// Whether no lane is above `limit`; false for a NaN.
MVGAMBA_INLINE bool all_at_most(Vec x, float limit) {
#if MVGAMBA_LANES == 16
    return _mm512_cmp_ps_mask((__m512)x, _mm512_set1_ps(limit), _CMP_LE_OQ) == 0xffff;
#else
    bool all = true;
    for (int i = 0; i < LANES; i++) all &= x[i] <= limit;
    return all;
#endif
}

MVGAMBA_INLINE float sum(Vec v) {
    float s = 0;
    for (int i = 0; i < LANES; i++) s += v[i];
    return s;
}

// 2^t for -126 <= t <= 127 only; relative error 5e-7, and exactly 1 at 0, so that a decay that is nearly 1 stays right
// over thousands of steps.
//
// t = k + f with k a whole number of 2^-FRACTION. Adding 1.5 * 2^(23 - FRACTION) rounds in the current (nearest) mode
// and leaves k in the low bits, from where a shift moves it into the exponent. 2^f is the polynomial 1 + f q(f) of
// least relative error. Where one instruction looks up a table, it holds 2^0 .. 2^(1 - 2^-FRACTION), which shortens f
// and saves terms of the polynomial; each entry is less the bits that the shift adds to it.
// Of |f| <= 1/2, where k is whole.
MVGAMBA_INLINE Vec polynomial_of_whole(Vec f) {
    Vec p = f * 1.326472697e-3f + 9.671512759e-3f;
    p = p * f + 5.550733746e-2f;
    p = p * f + 2.402224208e-1f;
    p = p * f + 6.931469776e-1f;
    return p * f + 1.0f;
}
#if MVGAMBA_LANES == 16
constexpr int FRACTION = 4;
MVGAMBA_INLINE UVec power_of_fraction(UVec k) {
    const __m512i table = _mm512_setr_epi32(  //
        0x3f800000, 0x3f7daac3, 0x3f7b95c2, 0x3f79c3d3,
        0x3f7837f0, 0x3f76f532, 0x3f75fed7, 0x3f75583f,
        0x3f7504f3, 0x3f7508a4, 0x3f75672a, 0x3f76248c,
        0x3f7744fd, 0x3f78ccdf, 0x3f7ac0c7, 0x3f7d257d);
    return (UVec)_mm512_permutexvar_epi32((__m512i)k, table);
}
MVGAMBA_INLINE Vec polynomial(Vec f) { return (f * 0.24022651f + 0.69318783f) * f + 1.0f; }
#elif MVGAMBA_LANES == 8
constexpr int FRACTION = 2;
MVGAMBA_INLINE UVec power_of_fraction(UVec k) {
    const __m128 table = _mm_castsi128_ps(_mm_setr_epi32(0x3f800000, 0x3f7837f0, 0x3f7504f3, 0x3f7744fd));
    return (UVec)_mm256_permutevar_ps(_mm256_set_m128(table, table), (__m256i)k);
}
MVGAMBA_INLINE Vec polynomial(Vec f) { return ((f * 0.05547259f + 0.24035098f) * f + 0.69314772f) * f + 1.0f; }
#else
constexpr int FRACTION = 0;
MVGAMBA_INLINE Vec polynomial(Vec f) { return polynomial_of_whole(f); }
#endif

// exp2_in_range in two stages. `whole` is k still in the low bits of a float.
MVGAMBA_INLINE void split_exponent(Vec t, Vec& whole, Vec& fraction) {
    const Vec magic = splat(12582912.0f / (1 << FRACTION));
    whole = t + magic;
    fraction = t - (whole - magic);
}
MVGAMBA_INLINE Vec exp2_of_split(Vec whole, Vec fraction) {
    const UVec k = (UVec)whole;  // of a NaN, or beyond the range, any bits
#if MVGAMBA_LANES >= 8
    return polynomial(fraction) * (Vec)(power_of_fraction(k) + (k << (23 - FRACTION)));
#else
    return (Vec)((UVec)polynomial(fraction) + (k << 23));
#endif
}

// Of N vectors at once, stage by stage over all of them: a processor's window of waiting instructions holds only a few
// such chains, and one chain after the other would leave it idle.
template <int N>
MVGAMBA_INLINE void exp2_in_range(Vec (&t)[N]) {
    Vec whole[N];
    for (int n = 0; n < N; n++) split_exponent(t[n], whole[n], t[n]);
    for (int n = 0; n < N; n++) t[n] = exp2_of_split(whole[n], t[n]);
}
MVGAMBA_INLINE Vec exp2_in_range(Vec t) {
    Vec one[1] = {t};
    exp2_in_range(one);
    return one[0];
}

// 2^t for any t; below -126 it stays 2^-126, a zero in every use here, and above 127 it stays 2^127.
MVGAMBA_INLINE Vec in_exp2_range(Vec t) { return vmin(vmax(t, splat(-126.0f)), splat(127.0f)); }
template <int N>
MVGAMBA_INLINE void exp2(Vec (&t)[N]) {
    for (int n = 0; n < N; n++) t[n] = in_exp2_range(t[n]);
    exp2_in_range(t);
}
MVGAMBA_INLINE Vec exp2(Vec t) { return exp2_in_range(in_exp2_range(t)); }
MVGAMBA_INLINE Vec exp(Vec x) { return exp2(x * LOG2E); }

MVGAMBA_INLINE Vec sigmoid(Vec x) { return 1.0f / (1.0f + exp(-x)); }

// 1 - e^-t for t >= 0, right to the last digits of a small t as well: e^-t is known to 5e-7, which would be half a
// thousandth of what is left of it at t = 0.001, a usual step of a state-space model.
MVGAMBA_INLINE Vec one_minus_exp(Vec t) {
    Vec series = 1.0f - t * (1.0f / 7);
    series = 1.0f - t * (1.0f / 6) * series;
    series = 1.0f - t * (1.0f / 5) * series;
    series = 1.0f - t * (1.0f / 4) * series;
    series = 1.0f - t * (1.0f / 3) * series;
    series = 1.0f - t * (1.0f / 2) * series;
    return t < 0.5f ? t * series : 1.0f - exp(-t);
}

// x sigmoid(x), in place, of N vectors abreast.
template <int N>
MVGAMBA_INLINE void silu(Vec (&x)[N]) {
    Vec e[N];
    for (int n = 0; n < N; n++) e[n] = x[n] * -LOG2E;
    exp2(e);
    for (int n = 0; n < N; n++) x[n] /= 1.0f + e[n];
}

// log(1 + e^x) without overflow, in place, of N vectors abreast: max(x, 0) + log1p(e^-|x|), where
// log1p(e) = 2 artanh(e / (2 + e)) by its odd series in s = e / (2 + e) <= 1/3, minimax coefficients.
template <int N>
MVGAMBA_INLINE void softplus(Vec (&x)[N]) {
    Vec s[N], q[N];
    for (int n = 0; n < N; n++) s[n] = vmax(absolute(x[n]) * -LOG2E, splat(-126.0f));
    exp2_in_range(s);
    for (int n = 0; n < N; n++) s[n] /= 2.0f + s[n];
    for (int n = 0; n < N; n++) q[n] = s[n] * s[n] * 1.408916769e-1f + 1.398030132e-1f;
    for (int n = 0; n < N; n++) q[n] = q[n] * (s[n] * s[n]) + 2.001245514e-1f;
    for (int n = 0; n < N; n++) q[n] = q[n] * (s[n] * s[n]) + 3.333315734e-1f;
    for (int n = 0; n < N; n++) q[n] = q[n] * (s[n] * s[n]) + 1.000000004f;
    for (int n = 0; n < N; n++) x[n] = vmax(x[n], splat(0.0f)) + 2.0f * s[n] * q[n];
}

}  // namespace mvgamba
