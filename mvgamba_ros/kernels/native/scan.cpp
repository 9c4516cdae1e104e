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
#include <cstdlib>
#include <algorithm>
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

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Scratch floats on a cache line border, zero at first.
class Scratch {
   public:
    explicit Scratch(int64_t floats) : data_(static_cast<float*>(aligned_alloc(64, ceil_div(floats * 4, 64) * 64))) {
        if (!data_) abort();
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
    __attribute__((always_inline)) void prefetch(const Tokens& x, int from = 0, int to = CHUNK) const {
        if (!FULL || !x.data) return;
        const float* p = x.data + batch * x.batch + (coming_first + from) * x.token + coming_channel;
        for (int t = from; t < std::min(to, coming_tokens); t++, p += x.token) __builtin_prefetch(p);
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
void gather(const States& x, int64_t batch, int64_t first, int tokens, int64_t states, int64_t padded, float* out) {
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

// One group of states through a piece: h is advanced, y is added to.
// Not inlined: on its own the loop gets the registers it needs.
template <bool IN_RANGE>
__attribute__((noinline)) void advance(int tokens, int64_t padded, const float* a, const float* B, const float* C,
                                       const Vec* dt, const Vec* dtu, float* h_memory, Vec* y) {
    Vec h[GROUP], decay[GROUP];
    for (int n = 0; n < GROUP; n++) h[n] = load(h_memory + n * LANES);
    auto update = [&](int t) {
        const float *b = B + t * padded, *c = C + t * padded;
        Vec out = y[t];
        for (int n = 0; n < GROUP; n++) h[n] = decay[n] * h[n] + dtu[t] * b[n];
        for (int n = 0; n < GROUP; n++) out += h[n] * c[n];
        y[t] = out;
    };
    if constexpr (LANES == 16) {
        // A token's exponents are split while the decays of the one before are raised and used, so that no instruction
        // waits long for another; other sets have too few registers.
        Vec whole[GROUP], fraction[GROUP];
        auto split = [&](int t) {
            for (int n = 0; n < GROUP; n++) {
                Vec exponent = unfused(dt[t] * load(a + n * LANES));
                if (!IN_RANGE) exponent = in_exp2_range(exponent);
                split_exponent(exponent, whole[n], fraction[n]);
            }
        };
        auto raise = [&] {
            for (int n = 0; n < GROUP; n++) decay[n] = exp2_of_split(whole[n], fraction[n]);
        };
        split(0);
        for (int t = 0; t < tokens; t++) {
            raise();
            if (t + 1 < tokens) split(t + 1);
            update(t);
        }
    } else {
        for (int t = 0; t < tokens; t++) {
            for (int n = 0; n < GROUP; n++) decay[n] = dt[t] * load(a + n * LANES);
            decays<IN_RANGE>(decay);
            update(t);
        }
    }
    for (int n = 0; n < GROUP; n++) store(h_memory + n * LANES, h[n]);
}

// Every token of a piece: states advance, outputs are written.
template <bool FULL>
void forward_piece(const ScanArgs& s, const Piece<FULL>& piece, int64_t padded, const float* a, const float* largest,
                   const float* B, const float* C, float* h) {
    Steps steps;
    Vec y[VECTORS][CHUNK];
    const bool in_range = step_sizes(s, piece, largest, steps);
    // a few rows with every group of states: fetched all at once they would wait for each other
    const int64_t groups = VECTORS * padded / GROUP;
    const int rows = static_cast<int>(ceil_div(CHUNK, groups));
    int fetched = 0;
    for (int v = 0; v < VECTORS; v++) {
        const Vec skip = piece.load_channels(s.D, v);
        for (int t = 0; t < piece.count(); t++) y[v][t] = skip * steps.u[v][t];
        for (int64_t n = 0; n < padded; n += GROUP) {
            for (const Tokens& x : {s.u, s.delta, s.z}) piece.prefetch(x, fetched, fetched + rows);
            fetched += rows;
            const int64_t at = (v * padded + n) * LANES;
            if (in_range)
                advance<true>(piece.count(), padded, a + at, B + n, C + n, steps.dt[v], steps.dtu[v], h + at, y[v]);
            else
                advance<false>(piece.count(), padded, a + at, B + n, C + n, steps.dt[v], steps.dtu[v], h + at, y[v]);
        }
    }
    by_tokens<ABREAST>(piece.count(), [&](int first, auto count) {
        constexpr int T = count;
        for (int v = 0; v < VECTORS; v++) {
            if (s.z.data) {
                Vec gate[T];
                for (int i = 0; i < T; i++) gate[i] = piece.load_row(s.z, first + i, v);
                silu(gate);
                for (int i = 0; i < T; i++) y[v][first + i] *= gate[i];
            }
            for (int i = 0; i < T; i++) piece.store_row(s.y, s, first + i, v, y[v][first + i]);
        }
    });
}

void forward_blocks(const ScanArgs& s, int64_t begin, int64_t end) {
    const Shape shape(s);
    const int64_t padded = shape.padded_states, per_block = shape.block_floats(), mine = end - begin;
    const Decay decays(s, shape, begin, end);
    Scratch h(mine * per_block), B(CHUNK * padded), C(CHUNK * padded);
    const bool past = past_caches(s, s.y, s.checkpoints);

    for (int64_t batch = 0; batch < s.batch; batch++) {
        std::fill(h + 0, h + mine * per_block, 0.0f);
        for (int64_t chunk = 0; chunk < shape.chunks; chunk++) {
            const int64_t first = chunk * CHUNK;
            const int tokens = static_cast<int>(std::min<int64_t>(CHUNK, s.length - first));
            gather(s.B, batch, first, tokens, s.states, padded, B + 0);
            gather(s.C, batch, first, tokens, s.states, padded, C + 0);
            for (int64_t block = begin; block < end; block++) {
                const int64_t channel = block * BLOCK, own = block - begin;
                const int lanes = static_cast<int>(std::min<int64_t>(BLOCK, s.width - channel));
                float* state = h + own * per_block;
                if (s.checkpoints) {
                    float* border =
                        s.checkpoints + ((batch * shape.chunks + chunk) * shape.blocks + block) * per_block;
                    for (int64_t i = 0; i < per_block; i += LANES)
                        past ? store_past_caches(border + i, load(state + i)) : store(border + i, load(state + i));
                }
                const int64_t coming = own + AHEAD;
                const int64_t coming_first = first + coming / mine * CHUNK;
                const int64_t coming_channel = (begin + coming % mine) * BLOCK;
                const int coming_tokens = static_cast<int>(std::min<int64_t>(CHUNK, s.length - coming_first));
                auto run = [&](auto full) {
                    const Piece<full> piece{batch, first,        channel,        tokens,       lanes,
                                            past,  coming_first, coming_channel, coming_tokens};
                    forward_piece(s, piece, padded, decays.a + own * per_block, decays.largest + own * BLOCK, B + 0,
                                  C + 0, state);
                };
                if (lanes == BLOCK && tokens == CHUNK)
                    run(std::true_type{});
                else
                    run(std::false_type{});
            }
        }
        if (s.last_state)
            for (int64_t d = begin * BLOCK; d < std::min(end * BLOCK, s.width); d++)
                for (int64_t n = 0; n < s.states; n++)
                    s.last_state[(batch * s.width + d) * s.states + n] = *(h + shape.at(d, n, begin));
    }
    stores_done();
}

// What the backward keeps of one piece while its groups of states pass.
struct PieceGradients {
    Vec dout[VECTORS][CHUNK];       // gradient of the output before the gate
    Vec out[VECTORS][CHUNK];        // that output; only where there is a gate
    Vec ddtu[VECTORS][CHUNK];       // gradient of dt * u
    Vec dexponent[VECTORS][CHUNK];  // gradient of dt through the decays, over ln 2
};

// One group of states: recompute the piece's decays and states from the border, then run it in reverse.
//
// With g the gradient of h after the token, from later tokens: g' = g + dout C; dB = g' dtu, dC = dout h, ddtu = g' B;
// the gradient of the decay's exponent (in units of ln 2) is g' a h_before, shared out to dt and A; g = g' a.
template <bool IN_RANGE, bool GATE>
__attribute__((noinline)) void reverse(int tokens, int64_t padded, const float* a2, const float* B, const float* C,
                            const float* border, const Steps& steps, PieceGradients& p, float* dh, float* dA,
                            float* dB, float* dC) {
    Vec a[CHUNK][GROUP][VECTORS], h[CHUNK + 1][GROUP][VECTORS];
    for (int v = 0; v < VECTORS; v++) {
        const int64_t own = v * padded * LANES;
        Vec state[GROUP];
        for (int n = 0; n < GROUP; n++) state[n] = h[0][n][v] = load(border + own + n * LANES);
        for (int t = 0; t < tokens; t++) {
            const Vec dt = steps.dt[v][t], x = steps.dtu[v][t];
            Vec decay[GROUP], out = p.out[v][t];
            for (int n = 0; n < GROUP; n++) decay[n] = dt * load(a2 + own + n * LANES);
            decays<IN_RANGE>(decay);
            for (int n = 0; n < GROUP; n++) {
                a[t][n][v] = decay[n];
                h[t + 1][n][v] = state[n] = decay[n] * state[n] + x * B[t * padded + n];
            }
            if (GATE) {
                for (int n = 0; n < GROUP; n++) out += state[n] * C[t * padded + n];
                p.out[v][t] = out;
            }
        }
    }
    Vec g[GROUP][VECTORS], da[GROUP][VECTORS];
    for (int n = 0; n < GROUP; n++)
        for (int v = 0; v < VECTORS; v++) {
            g[n][v] = load(dh + (v * padded + n) * LANES);
            da[n][v] = load(dA + (v * padded + n) * LANES);
        }
    for (int t = tokens - 1; t >= 0; t--) {
        float* dBt = dB + t * padded * LANES;
        float* dCt = dC + t * padded * LANES;
        Vec ddtu[VECTORS], dexponent[VECTORS];
        for (int v = 0; v < VECTORS; v++) ddtu[v] = p.ddtu[v][t], dexponent[v] = p.dexponent[v][t];
#pragma GCC unroll 16
        for (int n = 0; n < GROUP; n++) {
            Vec b = load(dBt + n * LANES), c = load(dCt + n * LANES);
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++) {
                const Vec dout = p.dout[v][t];
                c += dout * h[t + 1][n][v];
                const Vec now = g[n][v] + dout * C[t * padded + n];
                b += now * steps.dtu[v][t];
                ddtu[v] += now * B[t * padded + n];
                g[n][v] = now * a[t][n][v];
                const Vec w = g[n][v] * h[t][n][v];
                da[n][v] += w * steps.dt[v][t];
                dexponent[v] += w * load(a2 + (v * padded + n) * LANES);
            }
            store(dBt + n * LANES, b);
            store(dCt + n * LANES, c);
        }
        for (int v = 0; v < VECTORS; v++) p.ddtu[v][t] = ddtu[v], p.dexponent[v][t] = dexponent[v];
    }
    for (int n = 0; n < GROUP; n++)
        for (int v = 0; v < VECTORS; v++) {
            store(dh + (v * padded + n) * LANES, g[n][v]);
            store(dA + (v * padded + n) * LANES, da[n][v]);
        }
}

// [token][padded state][lane] summed over lanes into (batch, length, states).
void sum_lanes(const ScanArgs& s, const float* from, int64_t batch, int64_t first, int tokens, int64_t padded,
               float* to) {
    for (int t = 0; t < tokens; t++)
        for (int64_t n = 0; n < s.states; n++)
            to[(batch * s.length + first + t) * s.states + n] = sum(load(from + (t * padded + n) * LANES));
}

// Where the backward of one block adds up: gradients of its states, A, D and delta_bias (over tokens).
struct BlockGradients {
    float *dh, *dA, *dD, *dbias;
};

// Every token of a piece in reverse. dB, dC: [token][padded state][lane], added to.
template <bool FULL>
void backward_piece(const ScanArgs& s, const Piece<FULL>& piece, int64_t padded, const float* a, const float* largest,
                    const float* B, const float* C, const float* border, const BlockGradients& sums, float* dB,
                    float* dC) {
    Steps steps;
    PieceGradients p;
    const int tokens = piece.count();
    const bool in_range = step_sizes(s, piece, largest, steps);
    piece.prefetch(s.u);
    piece.prefetch(s.delta);
    Vec skip[VECTORS], dD[VECTORS], dbias[VECTORS], dy[VECTORS][CHUNK], z[VECTORS][CHUNK], gate[VECTORS][CHUNK];
    for (int v = 0; v < VECTORS; v++) {
        skip[v] = piece.load_channels(s.D, v);
        dD[v] = load(sums.dD + v * LANES);
        dbias[v] = load(sums.dbias + v * LANES);
    }
    for (int t = 0; t < tokens; t++)
        for (int v = 0; v < VECTORS; v++) {
            Vec dout = piece.load_row(s.dy, t, v);
            if (s.z.data) {
                dy[v][t] = dout;
                z[v][t] = piece.load_row(s.z, t, v);
                gate[v][t] = sigmoid(z[v][t]);
                dout *= z[v][t] * gate[v][t];
            }
            p.dout[v][t] = dout;
            p.out[v][t] = skip[v] * steps.u[v][t];
            p.ddtu[v][t] = p.dexponent[v][t] = Vec{};
            dD[v] += dout * steps.u[v][t];
        }
    piece.prefetch(s.dy);
    piece.prefetch(s.z);

    for (int64_t n = 0; n < padded; n += GROUP) {
        const int64_t at = n * LANES;
        if (!in_range)
            reverse<false, true>(tokens, padded, a + at, B + n, C + n, border + at, steps, p, sums.dh + at,
                                 sums.dA + at, dB + at, dC + at);
        else if (s.z.data)
            reverse<true, true>(tokens, padded, a + at, B + n, C + n, border + at, steps, p, sums.dh + at,
                                sums.dA + at, dB + at, dC + at);
        else
            reverse<true, false>(tokens, padded, a + at, B + n, C + n, border + at, steps, p, sums.dh + at,
                                 sums.dA + at, dB + at, dC + at);
    }

    for (int t = 0; t < tokens; t++)
        for (int v = 0; v < VECTORS; v++) {
            Vec ddelta = p.dexponent[v][t] * LN2 + p.ddtu[v][t] * steps.u[v][t];
            if (s.softplus) ddelta *= one_minus_exp(steps.dt[v][t]);  // softplus'(x) = sigmoid(x) = 1 - e^-softplus(x)
            dbias[v] += ddelta;
            piece.store_row(s.ddelta, s, t, v, ddelta);
            piece.store_row(s.du, s, t, v, p.ddtu[v][t] * steps.dt[v][t] + p.dout[v][t] * skip[v]);
            if (s.z.data) {
                const Vec dsilu = gate[v][t] * (1.0f + z[v][t] * (1.0f - gate[v][t]));
                piece.store_row(s.dz, s, t, v, dy[v][t] * p.out[v][t] * dsilu);
            }
        }
    for (int v = 0; v < VECTORS; v++) {
        store(sums.dD + v * LANES, dD[v]);
        store(sums.dbias + v * LANES, dbias[v]);
    }
}

void backward_blocks(const ScanArgs& s, int64_t thread, int64_t begin, int64_t end) {
    const Shape shape(s);
    const int64_t padded = shape.padded_states, per_block = shape.block_floats(), mine = end - begin;
    const Decay decays(s, shape, begin, end);
    Scratch dh(mine * per_block), dA(mine * per_block), dD(mine * BLOCK), dbias(mine * BLOCK);
    const bool past = past_caches(s, s.du, s.ddelta, s.dz);
    Scratch B(CHUNK * padded), C(CHUNK * padded), dB(CHUNK * padded * LANES), dC(CHUNK * padded * LANES);
    const int64_t partial = thread * s.batch * s.length * s.states;

    for (int64_t batch = 0; batch < s.batch; batch++) {
        std::fill(dh + 0, dh + mine * per_block, 0.0f);
        for (int64_t chunk = shape.chunks - 1; chunk >= 0; chunk--) {
            const int64_t first = chunk * CHUNK;
            const int tokens = static_cast<int>(std::min<int64_t>(CHUNK, s.length - first));
            gather(s.B, batch, first, tokens, s.states, padded, B + 0);
            gather(s.C, batch, first, tokens, s.states, padded, C + 0);
            std::fill(dB + 0, dB + CHUNK * padded * LANES, 0.0f);
            std::fill(dC + 0, dC + CHUNK * padded * LANES, 0.0f);
            for (int64_t block = begin; block < end; block++) {
                const int64_t channel = block * BLOCK, own = block - begin;
                const int lanes = static_cast<int>(std::min<int64_t>(BLOCK, s.width - channel));
                const BlockGradients sums{dh + own * per_block, dA + own * per_block, dD + own * BLOCK,
                                          dbias + own * BLOCK};
                const float* border =
                    s.checkpoints + ((batch * shape.chunks + chunk) * shape.blocks + block) * per_block;
                const int64_t coming = own + AHEAD;
                const int64_t coming_first = first - coming / mine * CHUNK;
                const int64_t coming_channel = (begin + coming % mine) * BLOCK;
                const int coming_tokens = coming < mine ? tokens : coming_first >= 0 ? CHUNK : 0;
                auto run = [&](auto full) {
                    const Piece<full> piece{batch, first,        channel,        tokens,       lanes,
                                            past,  coming_first, coming_channel, coming_tokens};
                    backward_piece(s, piece, padded, decays.a + own * per_block, decays.largest + own * BLOCK, B + 0,
                                   C + 0, border, sums, dB + 0, dC + 0);
                };
                if (lanes == BLOCK && tokens == CHUNK)
                    run(std::true_type{});
                else
                    run(std::false_type{});
            }
            sum_lanes(s, dB + 0, batch, first, tokens, padded, s.dB + partial);
            sum_lanes(s, dC + 0, batch, first, tokens, padded, s.dC + partial);
        }
    }
    for (int64_t d = begin * BLOCK; d < std::min(end * BLOCK, s.width); d++) {
        for (int64_t n = 0; n < s.states; n++) s.dA[d * s.states + n] = *(dA + shape.at(d, n, begin));
        s.dD[d] = *(dD + (d - begin * BLOCK));
        s.ddelta_bias[d] = *(dbias + (d - begin * BLOCK));
    }
    stores_done();
}

}  // namespace
}  // namespace mvgamba

using namespace mvgamba;

MVGAMBA_EXPORT int64_t mvgamba_scan_checkpoint_floats(const ScanArgs* s) {
    const Shape shape(*s);
    return s->batch * shape.chunks * shape.blocks * shape.block_floats();
}

// Threads beyond one per block would idle; the backward's caller must size dB and dC by this.
MVGAMBA_EXPORT int64_t mvgamba_scan_threads(const ScanArgs* s) {
    return std::max<int64_t>(1, std::min(s->threads, Shape(*s).blocks));
}

MVGAMBA_EXPORT void mvgamba_scan_forward(const ScanArgs* s) {
    const int64_t blocks = Shape(*s).blocks, threads = mvgamba_scan_threads(s);
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int64_t i = 0; i < threads; i++) forward_blocks(*s, blocks * i / threads, blocks * (i + 1) / threads);
}

MVGAMBA_EXPORT void mvgamba_scan_backward(const ScanArgs* s) {
    const int64_t blocks = Shape(*s).blocks, threads = mvgamba_scan_threads(s);
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int64_t i = 0; i < threads; i++) backward_blocks(*s, i, blocks * i / threads, blocks * (i + 1) / threads);
}
