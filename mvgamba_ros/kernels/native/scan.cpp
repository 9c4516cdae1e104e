// Selective scan (Gu and Dao, "Mamba", 2023, equation 2), forward and backward, float32.
//
//   dt = softplus(delta + bias),  h[n] <- exp(dt A[n]) h[n] + dt u B[n],  y = (sum_n C[n] h[n] + D u) silu(z)
//
// for each channel and state n, tokens in order. Channels lie across the lanes of a vector (a block is one vector of
// channels); a thread owns a range of blocks and walks the tokens in chunks of CHUNK, inside a chunk block by block, so
// that the chunk's B and C stay in the first-level cache. Within a block states go in groups of GROUP, few enough that
// states and constants fit the registers.
//
// Nothing of size tokens x channels x states is ever stored. For the backward the forward keeps the states at chunk
// borders; the backward walks the chunks last to first, recomputes each from its border and runs it in reverse.
#include <cstdlib>
#include <algorithm>
#include "abi.h"
#include "vecmath.h"

namespace {
using namespace mvgamba;

constexpr int CHUNK = 16;
constexpr int GROUP = 4;
static_assert(GROUP * LANES * 4 % 16 == 0, "scratch rows stay aligned");

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

}  // namespace

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
          blocks(ceil_div(s.width, LANES)),
          padded_states(ceil_div(s.states, GROUP) * GROUP) {}
    int64_t block_floats() const { return padded_states * LANES; }
};

// One block of one chunk: `tokens` tokens from `first`, `lanes` channels from `channel`.
struct Piece {
    int64_t batch, first, channel;
    int tokens, lanes;

    Vec load_row(const Tokens& x, int t) const {
        const float* p = x.data + batch * x.batch + (first + t) * x.token + channel;
        return lanes == LANES ? load(p) : load_first(p, lanes);
    }
    Vec load_channels(const float* p) const {
        if (!p) return Vec{};
        return lanes == LANES ? load(p + channel) : load_first(p + channel, lanes);
    }
    void store_row(float* p, const ScanArgs& s, int t, Vec v) const {
        p += (batch * s.length + first + t) * s.width + channel;
        lanes == LANES ? store(p, v) : store_first(p, v, lanes);
    }
};

// A * log2(e) as [block][state][lane]; and per block, the largest |A log2 e| of each lane.
struct Decay {
    Scratch a, largest;
    Decay(const ScanArgs& s, const Shape& shape, int64_t begin, int64_t end)
        : a((end - begin) * shape.block_floats()), largest((end - begin) * LANES) {
        for (int64_t d = begin * LANES; d < std::min(end * LANES, s.width); d++) {
            const int64_t block = d / LANES - begin, lane = d % LANES;
            for (int64_t n = 0; n < s.states; n++) {
                const float a2 = s.A[d * s.states + n] * LOG2E;
                (a + block * shape.block_floats())[n * LANES + lane] = a2;
                float& most = (largest + block * LANES)[lane];
                most = std::max(most, a2 < 0 ? -a2 : a2);
            }
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

// Per token of a piece: the step size dt and dt * u. Answers whether every exponent dt * A of the piece is in the range
// of exp2_in_range (NaN is not).
MVGAMBA_INLINE bool step_sizes(const ScanArgs& s, const Piece& piece, const float* largest, Vec* dt, Vec* dtu) {
    const Vec bias = piece.load_channels(s.delta_bias);
    Vec longest{};
    for (int t = 0; t < piece.tokens; t++) {
        Vec step = piece.load_row(s.delta, t) + bias;
        if (s.softplus) step = softplus(step);
        dt[t] = step;
        dtu[t] = step * piece.load_row(s.u, t);
        longest = vmax(step < 0.0f ? -step : step, longest);
    }
    const Vec exponent = longest * load(largest);
    bool in_range = true;
    for (int i = 0; i < LANES; i++) in_range &= exponent[i] <= 126.0f;
    return in_range;
}

template <bool IN_RANGE>
MVGAMBA_INLINE Vec decay(Vec exponent) {
    return IN_RANGE ? exp2_in_range(exponent) : exp2(exponent);
}

// One group of states through a piece: h is advanced, y is added to.
template <bool IN_RANGE>
MVGAMBA_INLINE void advance(int tokens, int64_t padded, const float* a, const float* B, const float* C, const Vec* dt,
                            const Vec* dtu, float* h_memory, Vec* y) {
    Vec h[GROUP];
    for (int n = 0; n < GROUP; n++) h[n] = load(h_memory + n * LANES);
    for (int t = 0; t < tokens; t++, B += padded, C += padded) {
        const Vec step = dt[t], x = dtu[t];
        Vec out = y[t];
#pragma GCC unroll 16
        for (int n = 0; n < GROUP; n++) {
            h[n] = decay<IN_RANGE>(step * load(a + n * LANES)) * h[n] + x * B[n];
            out += h[n] * C[n];
        }
        y[t] = out;
    }
    for (int n = 0; n < GROUP; n++) store(h_memory + n * LANES, h[n]);
}

void forward_blocks(const ScanArgs& s, int64_t begin, int64_t end) {
    const Shape shape(s);
    const int64_t padded = shape.padded_states, per_block = shape.block_floats();
    const Decay decays(s, shape, begin, end);
    Scratch h((end - begin) * per_block), B(CHUNK * padded), C(CHUNK * padded);
    Vec dt[CHUNK], dtu[CHUNK], y[CHUNK];

    for (int64_t batch = 0; batch < s.batch; batch++) {
        std::fill(h + 0, h + (end - begin) * per_block, 0.0f);
        for (int64_t chunk = 0; chunk < shape.chunks; chunk++) {
            const int64_t first = chunk * CHUNK;
            const int tokens = static_cast<int>(std::min<int64_t>(CHUNK, s.length - first));
            gather(s.B, batch, first, tokens, s.states, padded, B + 0);
            gather(s.C, batch, first, tokens, s.states, padded, C + 0);
            for (int64_t block = begin; block < end; block++) {
                const int64_t channel = block * LANES;
                const Piece piece{batch, first, channel, tokens,
                                  static_cast<int>(std::min<int64_t>(LANES, s.width - channel))};
                float* state = h + (block - begin) * per_block;
                const float* a = decays.a + (block - begin) * per_block;
                if (s.checkpoints)
                    memcpy(s.checkpoints + ((batch * shape.chunks + chunk) * shape.blocks + block) * per_block, state,
                           per_block * sizeof(float));

                const bool in_range = step_sizes(s, piece, decays.largest + (block - begin) * LANES, dt, dtu);
                const Vec skip = piece.load_channels(s.D);
                for (int t = 0; t < tokens; t++) y[t] = s.D ? skip * piece.load_row(s.u, t) : Vec{};
                for (int64_t n = 0; n < padded; n += GROUP) {
                    if (in_range)
                        advance<true>(tokens, padded, a + n * LANES, B + n, C + n, dt, dtu, state + n * LANES, y);
                    else
                        advance<false>(tokens, padded, a + n * LANES, B + n, C + n, dt, dtu, state + n * LANES, y);
                }
                for (int t = 0; t < tokens; t++) {
                    if (s.z.data) {
                        const Vec z = piece.load_row(s.z, t);
                        y[t] *= z * sigmoid(z);
                    }
                    piece.store_row(s.y, s, t, y[t]);
                }
            }
        }
        if (s.last_state)
            for (int64_t d = begin * LANES; d < std::min(end * LANES, s.width); d++)
                for (int64_t n = 0; n < s.states; n++)
                    s.last_state[(batch * s.width + d) * s.states + n] =
                        (h + (d / LANES - begin) * per_block)[n * LANES + d % LANES];
    }
}

// What the backward keeps of one piece while its groups of states pass.
struct PieceGradients {
    Vec dt[CHUNK], dtu[CHUNK];
    Vec dout[CHUNK];     // gradient of the output before the gate
    Vec out[CHUNK];      // that output; only where there is a gate
    Vec ddtu[CHUNK];     // gradient of dt * u
    Vec dexponent[CHUNK];  // gradient of dt through the decays, over ln 2
};

// One group of states: recompute the piece's decays and states from the border, then run it in reverse.
//
// With g the gradient of h after the token, from later tokens: g' = g + dout C; dB = g' dtu, dC = dout h, ddtu = g' B;
// the gradient of the decay's exponent (in units of ln 2) is g' a h_before, shared out to dt and A; g = g' a.
template <bool IN_RANGE, bool GATE>
MVGAMBA_INLINE void reverse(int tokens, int64_t padded, const float* a2, const float* B, const float* C,
                            const float* border, PieceGradients& p, float* dh_memory, float* dA_memory, float* dB,
                            float* dC) {
    Vec a[CHUNK][GROUP], h[CHUNK + 1][GROUP];
    {
        Vec state[GROUP];
        for (int n = 0; n < GROUP; n++) state[n] = h[0][n] = load(border + n * LANES);
        for (int t = 0; t < tokens; t++) {
            const Vec step = p.dt[t], x = p.dtu[t];
            Vec out = p.out[t];
#pragma GCC unroll 16
            for (int n = 0; n < GROUP; n++) {
                a[t][n] = decay<IN_RANGE>(step * load(a2 + n * LANES));
                state[n] = a[t][n] * state[n] + x * B[t * padded + n];
                h[t + 1][n] = state[n];
                if (GATE) out += state[n] * C[t * padded + n];
            }
            if (GATE) p.out[t] = out;
        }
    }
    Vec g[GROUP], dA[GROUP];
    for (int n = 0; n < GROUP; n++) g[n] = load(dh_memory + n * LANES), dA[n] = load(dA_memory + n * LANES);
    for (int t = tokens - 1; t >= 0; t--) {
        const Vec step = p.dt[t], x = p.dtu[t], dout = p.dout[t];
        Vec ddtu = p.ddtu[t], dexponent = p.dexponent[t];
        float* dBt = dB + t * padded * LANES;
        float* dCt = dC + t * padded * LANES;
#pragma GCC unroll 16
        for (int n = 0; n < GROUP; n++) {
            store(dCt + n * LANES, load(dCt + n * LANES) + dout * h[t + 1][n]);
            g[n] += dout * C[t * padded + n];
            store(dBt + n * LANES, load(dBt + n * LANES) + g[n] * x);
            ddtu += g[n] * B[t * padded + n];
            g[n] *= a[t][n];
            const Vec w = g[n] * h[t][n];
            dA[n] += w * step;
            dexponent += w * load(a2 + n * LANES);
        }
        p.ddtu[t] = ddtu;
        p.dexponent[t] = dexponent;
    }
    for (int n = 0; n < GROUP; n++) store(dh_memory + n * LANES, g[n]), store(dA_memory + n * LANES, dA[n]);
}

// [token][padded state][lane] summed over lanes into (batch, length, states).
void sum_lanes(const ScanArgs& s, const float* from, int64_t batch, int64_t first, int tokens, int64_t padded,
               float* to) {
    for (int t = 0; t < tokens; t++)
        for (int64_t n = 0; n < s.states; n++)
            to[(batch * s.length + first + t) * s.states + n] = sum(load(from + (t * padded + n) * LANES));
}

void backward_blocks(const ScanArgs& s, int thread, int64_t begin, int64_t end) {
    const Shape shape(s);
    const int64_t padded = shape.padded_states, per_block = shape.block_floats(), mine = end - begin;
    const Decay decays(s, shape, begin, end);
    Scratch dh(mine * per_block), dA(mine * per_block), dD(mine * LANES), dbias(mine * LANES);
    Scratch B(CHUNK * padded), C(CHUNK * padded), dB(CHUNK * per_block), dC(CHUNK * per_block);
    const int64_t partial = thread * s.batch * s.length * s.states;
    PieceGradients p;

    for (int64_t batch = 0; batch < s.batch; batch++) {
        std::fill(dh + 0, dh + mine * per_block, 0.0f);
        for (int64_t chunk = shape.chunks - 1; chunk >= 0; chunk--) {
            const int64_t first = chunk * CHUNK;
            const int tokens = static_cast<int>(std::min<int64_t>(CHUNK, s.length - first));
            gather(s.B, batch, first, tokens, s.states, padded, B + 0);
            gather(s.C, batch, first, tokens, s.states, padded, C + 0);
            std::fill(dB + 0, dB + CHUNK * per_block, 0.0f);
            std::fill(dC + 0, dC + CHUNK * per_block, 0.0f);
            for (int64_t block = begin; block < end; block++) {
                const int64_t channel = block * LANES, own = block - begin;
                const Piece piece{batch, first, channel, tokens,
                                  static_cast<int>(std::min<int64_t>(LANES, s.width - channel))};
                const bool in_range = step_sizes(s, piece, decays.largest + own * LANES, p.dt, p.dtu);
                const Vec skip = piece.load_channels(s.D);
                Vec dskip = load(dD + own * LANES);
                for (int t = 0; t < tokens; t++) {
                    const Vec u = piece.load_row(s.u, t);
                    Vec dout = piece.load_row(s.dy, t);
                    if (s.z.data) {
                        const Vec z = piece.load_row(s.z, t);
                        dout *= z * sigmoid(z);
                    }
                    p.dout[t] = dout;
                    p.out[t] = skip * u;
                    p.ddtu[t] = p.dexponent[t] = Vec{};
                    dskip += dout * u;
                }
                store(dD + own * LANES, dskip);

                const float* border =
                    s.checkpoints + ((batch * shape.chunks + chunk) * shape.blocks + block) * per_block;
                for (int64_t n = 0; n < padded; n += GROUP) {
                    const int64_t at = own * per_block + n * LANES;
                    auto run = [&](auto group) {
                        group(tokens, padded, decays.a + at, B + n, C + n, border + n * LANES, p, dh + at, dA + at,
                              dB + n * LANES, dC + n * LANES);
                    };
                    if (!in_range)
                        run(reverse<false, true>);
                    else if (s.z.data)
                        run(reverse<true, true>);
                    else
                        run(reverse<true, false>);
                }

                Vec dbias_sum = load(dbias + own * LANES);
                for (int t = 0; t < tokens; t++) {
                    const Vec u = piece.load_row(s.u, t);
                    Vec ddelta = p.dexponent[t] * LN2 + p.ddtu[t] * u;
                    // softplus' = sigmoid(x) = 1 - e^-softplus(x)
                    if (s.softplus) ddelta *= 1.0f - exp(-p.dt[t]);
                    dbias_sum += ddelta;
                    piece.store_row(s.ddelta, s, t, ddelta);
                    piece.store_row(s.du, s, t, p.ddtu[t] * p.dt[t] + p.dout[t] * skip);
                    if (s.z.data) {
                        const Vec z = piece.load_row(s.z, t), gate = sigmoid(z);
                        const Vec dsilu = gate * (1.0f + z * (1.0f - gate));
                        piece.store_row(s.dz, s, t, piece.load_row(s.dy, t) * p.out[t] * dsilu);
                    }
                }
                store(dbias + own * LANES, dbias_sum);
            }
            sum_lanes(s, dB + 0, batch, first, tokens, padded, s.dB + partial);
            sum_lanes(s, dC + 0, batch, first, tokens, padded, s.dC + partial);
        }
    }
    for (int64_t d = begin * LANES; d < std::min(end * LANES, s.width); d++) {
        const int64_t own = d / LANES - begin, lane = d % LANES;
        for (int64_t n = 0; n < s.states; n++)
            s.dA[d * s.states + n] = (dA + own * per_block)[n * LANES + lane];
        s.dD[d] = (dD + own * LANES)[lane];
        s.ddelta_bias[d] = (dbias + own * LANES)[lane];
    }
}

}  // namespace

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
