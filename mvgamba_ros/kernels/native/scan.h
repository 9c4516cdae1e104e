// Selective scan (Gu and Dao, "Mamba", 2023, equation 2), forward and backward, float32.
//
//   dt = softplus(delta + bias),  h[n] <- exp(dt A[n]) h[n] + dt u B[n],  y = (sum_n C[n] h[n] + D u) silu(z)
//
// for each channel and state n, tokens in order. Channels lie across the lanes of vectors. A block is 16 channels, one
// cache line of each tensor, in as many vectors as that takes; a thread owns a range of blocks and walks the tokens in
// chunks, inside a chunk block by block, so that the chunk's B and C stay in the first-level cache. Within a block
// states go in groups of GROUP, few enough that states and constants about fit the registers.
//
// Nothing of size tokens x channels x states is ever stored. For the backward the forward keeps the states at chunk
// borders; the backward walks the chunks last to first, recomputes each from its border and runs it in reverse.
#pragma once
#include <algorithm>
#include <cstdlib>
#include <type_traits>
#include "abi.h"
#include "vecmath.h"

namespace mvgamba {

constexpr int BLOCK = 16;
constexpr int VECTORS = BLOCK / LANES;
constexpr int CHUNK = 16;
constexpr int GROUP = 4;
// Tokens that take each stage of softplus and gate side by side, as a group's states do in exp2_in_range.
constexpr int ABREAST = 4;
constexpr int AHEAD = 2;  // pieces
constexpr int64_t LARGE = 2 << 20;  // bytes: a tensor of this size is not read again from a second-level cache

// (batch, token, channel) with channels next to each other; strides in floats.
struct Tokens {
    const float* data;
    int64_t batch, token;
};
// (batch, token, state), any strides: B and C are usually columns of a wider matrix.
struct States {
    const float* data;
    int64_t batch, token, state;
};

// Mirrored by `_Args` in ../scan_cpu.py.
struct ScanArgs {
    int64_t batch, length, width, states, threads, softplus;
    Tokens u, delta, z;   // z.data null: no gate
    States B, C;
    const float* A;           // (width, states)
    const float* D;           // (width) or null
    const float* delta_bias;  // (width) or null
    float* checkpoints;       // mvgamba_scan_checkpoint_floats() of them, or null
    // forward
    float* y;           // (batch, length, width)
    float* last_state;  // (batch, width, states) or null
    // backward
    Tokens dy;
    float *du, *ddelta, *dz;        // (batch, length, width); dz null without a gate
    float* dA;                      // (width, states)
    float *dD, *ddelta_bias;        // (width) each, both always written
    float *dB, *dC;                 // (threads, batch, length, states): the caller sums over threads
};

namespace {

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Scratch floats on a cache line border, zero at first.
class Scratch {
   public:
    explicit Scratch(int64_t floats) : data_(static_cast<float*>(aligned_alloc(64, ceil_div(floats * 4, 64) * 64))) {
        if (!data_) throw std::bad_alloc();
        std::fill(data_, data_ + floats, 0.0f);
    }
    ~Scratch() { free(data_); }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    float* operator+(int64_t i) const { return data_ + i; }

   private:
    float* data_;
};

// Sizes that both directions share. States are padded to whole groups, channels to whole blocks, with zeros.
struct Shape {
    int64_t chunks, blocks, padded_states;
    explicit Shape(const ScanArgs& s)
        : chunks(ceil_div(s.length, CHUNK)),
          blocks(ceil_div(s.width, BLOCK)),
          padded_states(ceil_div(s.states, GROUP) * GROUP) {}
    int64_t block_floats() const { return padded_states * BLOCK; }
    // where channel d, state n lies in [block][vector][state][lane], the first block being `begin`
    int64_t at(int64_t d, int64_t n, int64_t begin) const {
        return ((d - begin * BLOCK) / LANES * padded_states + n) * LANES + d % LANES;
    }
};

// Whether outputs go past the caches: they are large, and every full block of theirs lies on a border of cache lines.
template <typename... Pointers>
bool past_caches(const ScanArgs& s, Pointers... outputs) {
    const bool aligned = (... && (reinterpret_cast<uintptr_t>(outputs) % (BLOCK * sizeof(float)) == 0));
    return aligned && s.width % BLOCK == 0 && s.batch * s.length * s.width * int64_t(sizeof(float)) >= LARGE;
}

// One block of one chunk: `tokens` tokens from `first`, `lanes` channels from `channel`.
// FULL: all lanes are channels and all tokens of the chunk are there, as in all pieces but those at the ends.
template <bool FULL>
struct Piece {
    int64_t batch, first, channel;
    int tokens, lanes;
    bool past;  // see past_caches
    int64_t coming_first, coming_channel;  // of the piece that this thread turns to AHEAD pieces from now
    int coming_tokens;

    int count() const { return FULL ? CHUNK : tokens; }
    int lanes_of(int v) const { return std::max(0, std::min(lanes - v * LANES, LANES)); }
    Vec load_row(const Tokens& x, int t, int v) const {
        const float* p = x.data + batch * x.batch + (first + t) * x.token + channel + v * LANES;
        return FULL ? load(p) : load_first(p, lanes_of(v));
    }
    Vec load_channels(const float* p, int v) const {
        if (!p) return Vec{};
        return FULL ? load(p + channel + v * LANES) : load_first(p + channel + v * LANES, lanes_of(v));
    }
    void store_row(float* p, const ScanArgs& s, int t, int v, Vec x) const {
        p += (batch * s.length + first + t) * s.width + channel + v * LANES;
        if (!FULL)
            store_first(p, x, lanes_of(v));
        else if (past)
            store_past_caches(p, x);
        else
            store(p, x);
    }
    // Rows are often a page apart, which processors do not foresee: fetch a coming piece's. (always_inline: GCC drops
    // calls of a function that only prefetches.)
    __attribute__((always_inline)) void prefetch(const Tokens& x) const {
        if (!FULL || !x.data || coming_tokens <= 0) return;
        const float* p = x.data + batch * x.batch + coming_first * x.token + coming_channel;
        for (int t = 0; t < coming_tokens; t++, p += x.token) __builtin_prefetch(p);
    }
};

// A * log2(e) as [block][vector][state][lane]; and the largest |A log2 e| of each channel.
struct Decay {
    Scratch a, largest;
    Decay(const ScanArgs& s, const Shape& shape, int64_t begin, int64_t end)
        : a((end - begin) * shape.block_floats()), largest((end - begin) * BLOCK) {
        for (int64_t d = begin * BLOCK; d < std::min(end * BLOCK, s.width); d++)
            for (int64_t n = 0; n < s.states; n++) {
                const float a2 = s.A[d * s.states + n] * LOG2E;
                *(a + shape.at(d, n, begin)) = a2;
                float& most = *(largest + (d - begin * BLOCK));
                most = std::max(most, a2 < 0 ? -a2 : a2);
            }
    }
};

// B or C of one chunk as [token][padded state], the padding zero.
inline void gather(const States& x, int64_t batch, int64_t first, int tokens, int64_t states, int64_t padded, float* out) {
    for (int t = 0; t < tokens; t++) {
        const float* p = x.data + batch * x.batch + (first + t) * x.token;
        for (int64_t n = 0; n < states; n++) out[t * padded + n] = p[n * x.state];
    }
}

// `each(t, count)` over all tokens, N at a time, the rest one by one; `count` is a constant.
template <int N, typename Each>
MVGAMBA_INLINE void by_tokens(int tokens, const Each& each) {
    int t = 0;
    for (; t + N <= tokens; t += N) each(t, std::integral_constant<int, N>{});
    for (; t < tokens; t++) each(t, std::integral_constant<int, 1>{});
}

// Per token of a piece: u, the step size dt and dt * u. Returns whether every exponent dt * A of the piece is in the
// range of exp2_in_range (NaN is not).
struct Steps {
    Vec u[VECTORS][CHUNK], dt[VECTORS][CHUNK], dtu[VECTORS][CHUNK];
};
template <bool FULL>
MVGAMBA_INLINE bool step_sizes(const ScanArgs& s, const Piece<FULL>& piece, const float* largest, Steps& steps) {
    Vec bias[VECTORS], longest[VECTORS] = {};
    for (int v = 0; v < VECTORS; v++) bias[v] = piece.load_channels(s.delta_bias, v);
    by_tokens<ABREAST>(piece.count(), [&](int first, auto count) {
        constexpr int T = count;
        for (int v = 0; v < VECTORS; v++) {
            Vec dt[T];
            for (int i = 0; i < T; i++) dt[i] = piece.load_row(s.delta, first + i, v) + bias[v];
            if (s.softplus) softplus(dt);
            for (int i = 0; i < T; i++) {
                const Vec u = piece.load_row(s.u, first + i, v);
                steps.u[v][first + i] = u;
                steps.dt[v][first + i] = dt[i];
                steps.dtu[v][first + i] = dt[i] * u;
                longest[v] = vmax(absolute(dt[i]), longest[v]);
            }
        }
    });
    bool in_range = true;
    for (int v = 0; v < VECTORS; v++) in_range &= all_at_most(longest[v] * load(largest + v * LANES), 126.0f);
    return in_range;
}

// exp2 of exponents, in place.
template <bool IN_RANGE, int N>
MVGAMBA_INLINE void decays(Vec (&exponent)[N]) {
    if (IN_RANGE)
        exp2_in_range(exponent);
    else
        exp2(exponent);
}

inline void check_scan(const ScanArgs& s) {
    require_threads(s.threads);
    require(s.batch >= 1 && s.width >= 1 && s.length >= 1 && s.states >= 1);
    elements({s.batch, s.length, s.width, 64});
    elements({s.width, s.states, 64});
    elements({s.threads, s.batch, s.length, s.states});
    elements({s.batch, Shape(s).chunks, Shape(s).blocks, Shape(s).block_floats()});
}

// Threads beyond one per block would idle.
inline int64_t useful_threads(const ScanArgs& s) { return std::max<int64_t>(1, std::min(s.threads, Shape(s).blocks)); }

}  // namespace
}  // namespace mvgamba
