// Causal depthwise convolution with an optional SiLU, token-major, forward and backward, float32.
//
//   y[t, d] = bias[d] + sum_k weight[d, k] x[t - taps + 1 + k, d],   then y * sigmoid(y)
//
// Channels lie across lanes. Threads share out the tokens in slabs, each reading the taps - 1 tokens before its own;
// the weights are transposed once to [tap][channel], so that every access is a row.
#include <algorithm>
#include <vector>
#include "abi.h"
#include "parallel.h"
#include "vecmath.h"

// Mirrored by `_Args` in ../conv_cpu.py. Rows of x and dy have any token stride; y and dx are dense.
struct ConvArgs {
    int64_t batch, length, width, taps, silu, threads;
    const float* x;
    int64_t x_batch, x_token;
    const float* weight;  // (taps, width): transposed
    const float* bias;    // (width) or null
    float* y;
    // backward
    const float* dy;
    int64_t dy_batch, dy_token;
    float* dx;
    float* dweight;  // (threads, taps, width): the caller sums over threads
    float* dbias;    // (threads, width)
};

namespace mvgamba {
namespace {

// Row t of x, or null before the first token.
const float* row(const ConvArgs& s, int64_t batch, int64_t t) {
    return t < 0 ? nullptr : s.x + batch * s.x_batch + t * s.x_token;
}

// The convolution at one token and vector of channels, before the SiLU.
MVGAMBA_INLINE Vec convolve(const ConvArgs& s, int64_t batch, int64_t t, int64_t d, int lanes) {
    Vec sum = s.bias ? load_some(s.bias + d, lanes) : Vec{};
    for (int64_t k = 0; k < s.taps; k++)
        if (const float* x = row(s, batch, t - s.taps + 1 + k))
            sum += load_some(s.weight + k * s.width + d, lanes) * load_some(x + d, lanes);
    return sum;
}

// By value, as in the backward: sizes and addresses then stay in registers over the stores of the loop.
void forward_tokens(const ConvArgs s, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
        const int64_t batch = i / s.length, t = i % s.length;
        each_vector(s.width, [&](int64_t d, int lanes) {
            Vec y = convolve(s, batch, t, d, lanes);
            if (s.silu) y *= sigmoid(y);
            store_some(s.y + i * s.width + d, y, lanes);
        });
    }
}

// dx at a token needs the gradient before the SiLU at it and the next taps - 1 tokens. A ring of taps such rows is kept;
// a thread recomputes those after its last token and counts only its own tokens' in dweight and dbias.
void backward_tokens(const ConvArgs s, int64_t thread, int64_t begin, int64_t end) {
    std::vector<float> ring(s.taps * s.width);
    float* dweight = s.dweight + thread * s.taps * s.width;
    float* dbias = s.dbias + thread * s.width;
    std::fill(dweight, dweight + s.taps * s.width, 0.0f);
    std::fill(dbias, dbias + s.width, 0.0f);
    while (begin < end) {  // one sequence, or a thread's part of it, at a time
        const int64_t batch = begin / s.length, first = begin % s.length;
        const int64_t last = std::min(s.length, first + (end - begin)) - 1;
        const int64_t reach = std::min(s.length - 1, last + s.taps - 1);
        for (int64_t t = reach; t >= first; t--) {
            float* now = ring.data() + t % s.taps * s.width;
            each_vector(s.width, [&](int64_t d, int lanes) {
                Vec g = load_some(s.dy + batch * s.dy_batch + t * s.dy_token + d, lanes);
                if (s.silu) {
                    const Vec y = convolve(s, batch, t, d, lanes), gate = sigmoid(y);
                    g *= gate * (1.0f + y * (1.0f - gate));
                }
                store_some(now + d, g, lanes);
                if (t > last) return;
                store_some(dbias + d, load_some(dbias + d, lanes) + g, lanes);
                Vec dx{};
                for (int64_t k = 0; k < s.taps; k++) {
                    float* dw = dweight + k * s.width + d;
                    if (const float* x = row(s, batch, t - s.taps + 1 + k))
                        store_some(dw, load_some(dw, lanes) + g * load_some(x + d, lanes), lanes);
                    const int64_t after = t + s.taps - 1 - k;  // the output token that tap k carries this input to
                    if (after <= reach)
                        dx += load_some(s.weight + k * s.width + d, lanes) *
                              load_some(ring.data() + after % s.taps * s.width + d, lanes);
                }
                store_some(s.dx + (batch * s.length + t) * s.width + d, dx, lanes);
            });
        }
        begin += last - first + 1;
    }
}

int64_t tokens_of(const ConvArgs& s) {
    require_threads(s.threads);
    elements({s.batch, s.length, s.width});
    elements({s.threads, s.taps, s.width});
    return s.batch * s.length;
}

}  // namespace
}  // namespace mvgamba

using namespace mvgamba;

MVGAMBA_EXPORT int mvgamba_conv_forward(const ConvArgs* s) {
    return status_of([s] {
        const int64_t tokens = tokens_of(*s);
        each_thread(s->threads, [&](int64_t i) {
            forward_tokens(*s, tokens * i / s->threads, tokens * (i + 1) / s->threads);
        });
    });
}

MVGAMBA_EXPORT int mvgamba_conv_backward(const ConvArgs* s) {
    return status_of([s] {
        const int64_t tokens = tokens_of(*s);
        each_thread(s->threads, [&](int64_t i) {
            backward_tokens(*s, i, tokens * i / s->threads, tokens * (i + 1) / s->threads);
        });
    });
}
