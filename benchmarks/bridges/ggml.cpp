// ggml's selective scan (`ggml_ssm_scan`) behind three C functions, for `benchmarks.kernels_others`.
//
// The tensors are the caller's memory, and the graph is made once: what is timed is the operation.
#include <cstdint>
#include <memory>
#include <type_traits>
#include <vector>
#include "ggml-cpu.h"
#include "ggml.h"

namespace {

struct Scan {
    ggml_context* context = nullptr;
    ggml_cgraph* graph = nullptr;
    std::vector<float> initial, output;  // output: (length, width), then the last states
    int32_t sequence = 0;
    ~Scan() { ggml_free(context); }
};

// Later versions of ggml take how many states to keep as well.
template <class Function, class... Tensors>
ggml_tensor* scan_of(Function function, ggml_context* context, Tensors... tensors) {
    if constexpr (std::is_invocable_v<Function, ggml_context*, Tensors..., int64_t>)
        return function(context, tensors..., int64_t(1));
    else
        return function(context, tensors...);
}

}  // namespace

#define BRIDGE extern "C" __attribute__((visibility("default")))

// u, delta (length, width), A (width, states), B, C (length, states), float32; delta is before the softplus, which
// the operation applies. They are read by each `bridge_ggml_run`.
BRIDGE void* bridge_ggml_new(int64_t length, int64_t width, int64_t states, float* u, float* delta, float* A, float* B,
                             float* C) {
    auto scan = std::make_unique<Scan>();
    scan->context = ggml_init({16 * ggml_tensor_overhead() + ggml_graph_overhead(), nullptr, /*no_alloc=*/true});
    scan->initial.resize(states * width);
    scan->output.resize(width * (length + states));
    ggml_context* const c = scan->context;
    auto tensor = [c](void* data, ggml_type type, int64_t a, int64_t b, int64_t d, int64_t e) {
        ggml_tensor* made = ggml_new_tensor_4d(c, type, a, b, d, e);
        made->data = data;
        return made;
    };
    // a head of one channel each, as Mamba's first version has them
    ggml_tensor* result = scan_of(ggml_ssm_scan, c, tensor(scan->initial.data(), GGML_TYPE_F32, states, 1, width, 1),
                                  tensor(u, GGML_TYPE_F32, 1, width, length, 1),
                                  tensor(delta, GGML_TYPE_F32, width, length, 1, 1),
                                  tensor(A, GGML_TYPE_F32, states, width, 1, 1),
                                  tensor(B, GGML_TYPE_F32, states, 1, length, 1),
                                  tensor(C, GGML_TYPE_F32, states, 1, length, 1),
                                  tensor(&scan->sequence, GGML_TYPE_I32, 1, 1, 1, 1));
    result->data = scan->output.data();
    scan->graph = ggml_new_graph(c);
    ggml_build_forward_expand(scan->graph, result);
    return scan.release();
}

// Runs it on one thread; the output (length, width), good until the next call of it.
BRIDGE const float* bridge_ggml_run(void* made) {
    auto* scan = static_cast<Scan*>(made);
    ggml_cplan plan = ggml_graph_plan(scan->graph, 1, nullptr);
    std::vector<uint8_t> work(plan.work_size);
    plan.work_data = work.data();
    return ggml_graph_compute(scan->graph, &plan) == GGML_STATUS_SUCCESS ? scan->output.data() : nullptr;
}

BRIDGE void bridge_ggml_delete(void* made) { delete static_cast<Scan*>(made); }
