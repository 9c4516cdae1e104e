// The selective scan backward; what it is and how it goes: scan.h.
#include <algorithm>
#include "abi.h"
#include "parallel.h"
#include "scan.h"
#include "vecmath.h"

namespace mvgamba {
namespace {

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

// How many threads the backward uses, by which its caller must size dB and dC -> count.
MVGAMBA_EXPORT int mvgamba_scan_threads(const ScanArgs* s, int64_t* count) {
    return status_of([=] {
        check_scan(*s);
        *count = useful_threads(*s);
    });
}

MVGAMBA_EXPORT int mvgamba_scan_backward(const ScanArgs* s) {
    return status_of([s] {
        check_scan(*s);
        const int64_t blocks = Shape(*s).blocks, threads = useful_threads(*s);
        each_thread(threads,
                    [&](int64_t i) { backward_blocks(*s, i, blocks * i / threads, blocks * (i + 1) / threads); });
    });
}
