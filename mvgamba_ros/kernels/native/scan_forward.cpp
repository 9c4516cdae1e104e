// The selective scan forward; what it is and how it goes: scan.h.
#include <algorithm>
#include "abi.h"
#include "parallel.h"
#include "scan.h"
#include "vecmath.h"

namespace mvgamba {
namespace {

// The rows of the coming piece (Piece::coming_first), fetched a few at a time and all inputs side by side: for one
// input and one piece at a time, the counting would cost more than the fetches.
struct ComingRows {
    const float* rows[3];
    int64_t steps[3];
    int left;

    template <bool FULL>
    ComingRows(const ScanArgs& s, const Piece<FULL>& piece) : left(FULL ? std::max(0, piece.coming_tokens) : 0) {
        if (!left) return;
        const Tokens* const inputs[] = {&s.u, &s.delta, s.z.data ? &s.z : &s.u};
        for (int i = 0; i < 3; i++) {
            const Tokens& x = *inputs[i];
            rows[i] = x.data + piece.batch * x.batch + piece.coming_first * x.token + piece.coming_channel;
            steps[i] = x.token;
        }
    }
    // (always_inline: GCC drops calls of a function that only prefetches.)
    __attribute__((always_inline)) void fetch(int count) {
        for (; count > 0 && left > 0; count--, left--)
            for (int i = 0; i < 3; i++) {
                __builtin_prefetch(rows[i]);
                rows[i] += steps[i];
            }
    }
};

// All states of one vector of channels through a piece, group by group: h is advanced, y is added to; `fetched` rows of
// the coming piece are asked for with each group.
// Not inlined: on its own the loop gets the registers it needs. All groups in one call: the constants of the
// exponential then stay in theirs.
template <bool IN_RANGE, bool FULL>
__attribute__((noinline)) void advance(int some_tokens, int64_t padded, const float* a, const float* B, const float* C,
                                       const Vec* dt, const Vec* dtu, float* h_memory, Vec* y, ComingRows& coming,
                                       int fetched) {
    const int tokens = FULL ? CHUNK : some_tokens;
    for (const float* const end = B + padded; B < end;
         B += GROUP, C += GROUP, a += GROUP * LANES, h_memory += GROUP * LANES) {
        coming.fetch(fetched);
        Vec h[GROUP];
        for (int n = 0; n < GROUP; n++) h[n] = load(h_memory + n * LANES);
        if constexpr (LANES == 16) {
            // A token's exponents are split while the decays of the one before are raised and used, so that no
            // instruction waits long for another; other sets have too few registers.
            Vec whole[GROUP], fraction[GROUP], decay[GROUP];
            auto split = [&](int t) {
                for (int n = 0; n < GROUP; n++) {
                    Vec exponent = unfused(dt[t] * load(a + n * LANES));
                    if (!IN_RANGE) exponent = in_exp2_range(exponent);
                    split_exponent(exponent, whole[n], fraction[n]);
                }
            };
            split(0);
            for (int t = 0; t < tokens; t++) {
                for (int n = 0; n < GROUP; n++) decay[n] = exp2_of_split(whole[n], fraction[n]);
                if (t + 1 < tokens) split(t + 1);
                const float *b = B + t * padded, *c = C + t * padded;
                Vec out = y[t];
                for (int n = 0; n < GROUP; n++) h[n] = decay[n] * h[n] + dtu[t] * b[n];
                for (int n = 0; n < GROUP; n++) out += h[n] * c[n];
                y[t] = out;
            }
        } else {
            // Two states at a time: of four at once half would have no register, and go to memory and back.
            constexpr int PAIR = 2;
            for (int t = 0; t < tokens; t++) {
                const float *b = B + t * padded, *c = C + t * padded;
                Vec out = y[t];
                for (int first = 0; first < GROUP; first += PAIR) {
                    Vec decay[PAIR];
                    for (int n = 0; n < PAIR; n++) decay[n] = dt[t] * load(a + (first + n) * LANES);
                    decays<IN_RANGE>(decay);
                    for (int n = 0; n < PAIR; n++) h[first + n] = decay[n] * h[first + n] + dtu[t] * b[first + n];
                    for (int n = 0; n < PAIR; n++) out += h[first + n] * c[first + n];
                }
                y[t] = out;
            }
        }
        for (int n = 0; n < GROUP; n++) store(h_memory + n * LANES, h[n]);
    }
}

// Every token of a piece: states advance, outputs are written.
template <bool FULL>
void forward_piece(const ScanArgs& s, const Piece<FULL>& piece, int64_t padded, const float* a, const float* largest,
                   const float* B, const float* C, float* h) {
    Steps steps;
    Vec y[VECTORS][CHUNK];
    const bool in_range = step_sizes(s, piece, largest, steps);
    // a few rows with every group of states: fetched all at once they would wait for each other
    const int fetched = static_cast<int>(ceil_div(CHUNK, VECTORS * padded / GROUP));
    ComingRows coming(s, piece);
    for (int v = 0; v < VECTORS; v++) {
        const Vec skip = piece.load_channels(s.D, v);
        for (int t = 0; t < piece.count(); t++) y[v][t] = skip * steps.u[v][t];
        const int64_t at = v * padded * LANES;
        (in_range ? advance<true, FULL> : advance<false, FULL>)(piece.tokens, padded, a + at, B, C, steps.dt[v],
                                                                steps.dtu[v], h + at, y[v], coming, fetched);
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

}  // namespace
}  // namespace mvgamba

using namespace mvgamba;

// How many floats the forward writes to `checkpoints` -> count.
MVGAMBA_EXPORT int mvgamba_scan_checkpoint_floats(const ScanArgs* s, int64_t* count) {
    return status_of([=] {
        check_scan(*s);
        const Shape shape(*s);
        *count = s->batch * shape.chunks * shape.blocks * shape.block_floats();
    });
}

MVGAMBA_EXPORT int mvgamba_scan_forward(const ScanArgs* s) {
    return status_of([s] {
        check_scan(*s);
        const int64_t blocks = Shape(*s).blocks, threads = useful_threads(*s);
        each_thread(threads, [&](int64_t i) { forward_blocks(*s, blocks * i / threads, blocks * (i + 1) / threads); });
    });
}
