// Small networks along rays: dense layers and convolutions over the positions of a ray, a few channels wide, all of a
// ray's layers while its numbers are in the first cache. Forward only, float32; ../ray_layers.py defines what they compute.
//
// Lanes lie along a ray, so a convolution reads its neighbours by loads that are shifted by a lane, and the features
// sampled in the source views go into the layers as they are. Threads share out the rays.
#include <algorithm>
#include <memory>
#include <vector>
#include "abi.h"
#include "epipolar.h"
#include "parallel.h"

namespace mvgamba {

// outputs[n] = bias + sum over taps of weight[input][tap] * inputs[n + tap - taps / 2]. Mirrored by `_Layer` in
// ../ray_layers_cpu.py.
struct Layer {
    int64_t inputs, outputs, taps;
    const float *weight, *bias;  // (inputs, taps, outputs), (outputs)
};

namespace {

constexpr int AT_ONCE = LANES == 16 ? 16 : 8;  // outputs, each in a register

// Channels of one ray, (channels, positions), with zeros on both sides of each for the convolutions to read. Every
// thread has its own.
class Channels {
  public:
    Channels(int64_t channels, int64_t positions)
        : stride_((positions + LANES - 1) / LANES * LANES + LANES), values_(channels * stride_ + 2 * LANES) {}
    float* operator[](int64_t channel) { return values_.data() + LANES + channel * stride_; }
    const float* operator[](int64_t channel) const { return values_.data() + LANES + channel * stride_; }

  private:
    int64_t stride_;
    std::vector<float> values_;
};

template <int OUTPUTS>
MVGAMBA_INLINE void some_outputs(const Layer& layer, int64_t first, const float* base, const Channels& in,
                                 Channels& out, int64_t positions, bool relu) {
    each_vector(positions, [&](int64_t n, int lanes) {
        Vec sum[OUTPUTS];
        for (int k = 0; k < OUTPUTS; k++) sum[k] = splat(base[first + k]);
        const float* weight = layer.weight + first;
        for (int64_t i = 0; i < layer.inputs; i++)
            for (int64_t tap = 0; tap < layer.taps; tap++, weight += layer.outputs) {
                const Vec x = load(in[i] + n + tap - layer.taps / 2);
                for (int k = 0; k < OUTPUTS; k++) sum[k] += weight[k] * x;
            }
        for (int k = 0; k < OUTPUTS; k++)
            store_some(out[first + k] + n, relu ? vmax(sum[k], splat(0.0f)) : sum[k], lanes);
    });
}

// `base`: what is added to each output, the layer's bias or more. Not inlined: on its own it gets the registers it needs.
__attribute__((noinline)) void apply(const Layer& layer, const float* base, const Channels& in, Channels& out, int64_t positions, bool relu) {
    int64_t first = 0;
    for (; first + AT_ONCE <= layer.outputs; first += AT_ONCE)
        some_outputs<AT_ONCE>(layer, first, base, in, out, positions, relu);
    for (; first < layer.outputs; first++) some_outputs<1>(layer, first, base, in, out, positions, relu);
}

constexpr int64_t MOST_LAYERS = 64;
constexpr int64_t MOST_TAPS = 9;  // as far as Channels has zeros beyond the ends of a ray, of the narrowest vectors

// `inputs`: of the first; the others take what the one before gives.
void check_layers(const Layer* layers, int64_t count, int64_t inputs, int64_t positions) {
    for (int64_t i = 0; i < count; i++) {
        const Layer& layer = layers[i];
        require(layer.inputs == inputs && layer.outputs >= 1 && layer.taps % 2 == 1 && layer.taps <= MOST_TAPS);
        elements({layer.inputs, layer.outputs, layer.taps});
        elements({std::max(layer.inputs, layer.outputs), positions, 4});
        inputs = layer.outputs;
    }
}

int64_t widest(const Layer* layers, int64_t count) {
    int64_t most = 0;
    for (int64_t i = 0; i < count; i++) most = std::max({most, layers[i].inputs, layers[i].outputs});
    return most;
}

// Layers with a ReLU between one and the next; the ray's own features are added to the first one's outputs. One for each
// thread.
class Along {
  public:
    Along(const Layer* layers, int64_t count, int64_t positions)
        : layers_(layers), count_(count), positions_(positions), base_(layers[0].outputs),
          in_(widest(layers, count), positions), out_(widest(layers, count), positions) {}
    Channels& inputs() { return in_; }
    // inputs(), which is lost, and ray_features (outputs of the first) -> (outputs of the last, positions)
    void run(const float* ray_features, float* to) {
        for (size_t k = 0; k < base_.size(); k++) base_[k] = layers_[0].bias[k] + ray_features[k];
        for (int64_t i = 0; i < count_; i++) {
            apply(layers_[i], i ? layers_[i].bias : base_.data(), in_, out_, positions_, i + 1 < count_);
            std::swap(in_, out_);
        }
        for (int64_t k = 0; k < layers_[count_ - 1].outputs; k++)
            std::copy_n(in_[k], positions_, to + k * positions_);
    }

  private:
    const Layer* layers_;
    int64_t count_, positions_;
    std::vector<float> base_;
    Channels in_, out_;
};

// What mvgamba_aggregate_views takes.
struct Aggregation {
    const Rays& rays;
    SourceViews sources;
    int64_t rows;
    const float *depths, *reference_colors;
    const Layer* view_layers;
    int64_t view_count, others;
    const float* position_features;
    const Layer* layers;
    int64_t count;
    const float* ray_features;
    float* out;

    int64_t channels() const { return view_count ? view_layers[view_count - 1].outputs : int64_t(NUM_VIEW_FEATURES); }
};

// Aggregates rows one at a time. One for each thread.
class Aggregator {
  public:
    explicit Aggregator(const Aggregation& given)
        : given_(given), rays_(given.rays), along_(given.layers, given.count, given.rays.positions),
          in_(std::max<int64_t>(widest(given.view_layers, given.view_count), NUM_VIEW_FEATURES), given.rays.positions),
          to_(in_) {}

    void run(int64_t row) {
        const Rays s = rays_;
        const int64_t channels = given_.channels(), outputs = given_.layers[given_.count - 1].outputs;
        const int64_t source_count = std::max<int64_t>(s.views - 1, 1);  // without one, one whose features are 0
        const int64_t ray = row / given_.rows;
        Channels& joined = along_.inputs();
        for (int64_t source = 0; source < source_count; source++) {
            const int64_t view = source + (source >= s.view);
            if (s.views == 1)
                for (int k = 0; k < NUM_VIEW_FEATURES; k++) std::fill_n(in_[k], s.positions, 0.0f);
            else
                sample(view, ray, given_.depths + row * s.positions);
            for (int64_t i = 0; i < given_.view_count; i++) {
                apply(given_.view_layers[i], given_.view_layers[i].bias, in_, to_, s.positions, true);
                std::swap(in_, to_);
            }
            for (int64_t k = 0; k < channels; k++)
                each_vector(s.positions, [&](int64_t n, int lanes) {
                    const Vec x = load(in_[k] + n);
                    float *mean = joined[k] + n, *maximum = joined[channels + k] + n;
                    store_some(mean, (source ? load(mean) : Vec{}) + x, lanes);
                    store_some(maximum, source ? vmax(load(maximum), x) : x, lanes);
                });
        }
        for (int64_t k = 0; k < channels; k++)
            each_vector(s.positions, [&](int64_t n, int lanes) {
                store_some(joined[k] + n, load(joined[k] + n) / static_cast<float>(source_count), lanes);
            });
        for (int64_t k = 0; k < given_.others; k++)
            std::copy_n(given_.position_features + (row * given_.others + k) * s.positions, s.positions,
                        joined[2 * channels + k]);
        along_.run(given_.ray_features + row * given_.layers[0].outputs, given_.out + row * outputs * s.positions);
    }

  private:
    // The features of a source view at `depths` of a ray -> in_
    void sample(int64_t view, int64_t ray, const float* depths) {
        const EpipolarLine line(rays_, view, ray);
        const SourceViews sources = given_.sources;
        const float* const reference_colors = given_.reference_colors + ray * 4;
        each_vector(rays_.positions, [&](int64_t n, int lanes) {
            Vec features[NUM_VIEW_FEATURES];
            view_features(line, load_some(depths + n, lanes), sources, view, reference_colors, features);
            for (int k = 0; k < NUM_VIEW_FEATURES; k++) store_some(in_[k] + n, features[k], lanes);
        });
    }

    const Aggregation given_;
    const Rays rays_;
    Along along_;
    Channels in_, to_;
};

}  // namespace
}  // namespace mvgamba

using namespace mvgamba;

// position_features (rays, inputs, positions), ray_features (rays, outputs of the first layer) -> out (rays, outputs of
// the last, positions)
MVGAMBA_EXPORT int mvgamba_along_rays(const Layer* layers, int64_t count, int64_t rays, int64_t positions,
                                      int64_t threads, const float* position_features, const float* ray_features,
                                      float* out) {
    return status_of([=] {
        require_threads(threads);
        require(count >= 1 && count <= MOST_LAYERS);
        const int64_t inputs = layers[0].inputs, outputs = layers[count - 1].outputs;
        check_layers(layers, count, inputs, positions);
        elements({rays, std::max(inputs, outputs), positions});
        Failure failure;
#pragma omp parallel num_threads(threads)
        {
            std::unique_ptr<Along> along;
            failure.guard([&] { along = std::make_unique<Along>(layers, count, positions); });
#pragma omp for schedule(static)
            for (int64_t ray = 0; ray < rays; ray++) {
                if (!along) continue;
                for (int64_t i = 0; i < inputs; i++)
                    std::copy_n(position_features + (ray * inputs + i) * positions, positions, along->inputs()[i]);
                along->run(ray_features + ray * layers[0].outputs, out + ray * outputs * positions);
            }
        }
        failure.rethrow();
    });
}

// `rays`, pictures, depth_maps, grid, reference_colors and min_sigma as of mvgamba_sample_source_views; depths (rays,
// rows, positions), `rows` rows of hypotheses for each ray. view_layers: `view_count` without taps, over a view's
// features. position_features (rays, rows, others, positions). layers, ray_features (rays, rows, ...) and out as above,
// for each row.
MVGAMBA_EXPORT int mvgamba_aggregate_views(const Rays* rays, const float* pictures, const float* depth_maps,
                                           int64_t grid, int64_t rows, const float* depths,
                                           const float* reference_colors, float min_sigma, const Layer* view_layers,
                                           int64_t view_count, int64_t others, const float* position_features,
                                           const Layer* layers, int64_t count, const float* ray_features, float* out) {
    return status_of([=] {
        const Rays& s = *rays;
        const SourceViews sources{pictures, depth_maps, s.size, grid, min_sigma};
        const Aggregation given{s,      sources,           rows,   depths, reference_colors, view_layers, view_count,
                                others, position_features, layers, count,  ray_features,     out};
        check_source_views(s, given.sources);
        require(count >= 1 && count <= MOST_LAYERS && view_count >= 0 && view_count <= MOST_LAYERS);
        elements({others, s.positions});
        check_layers(view_layers, view_count, NUM_VIEW_FEATURES, s.positions);
        check_layers(layers, count, 2 * given.channels() + others, s.positions);
        const int64_t all = elements({s.rays, rows});
        elements({all, std::max({layers[0].inputs, layers[count - 1].outputs, layers[0].outputs}), s.positions});
        Failure failure;
#pragma omp parallel num_threads(s.threads)
        {
            std::unique_ptr<Aggregator> aggregator;
            failure.guard([&] { aggregator = std::make_unique<Aggregator>(given); });
#pragma omp for schedule(static)
            for (int64_t row = 0; row < all; row++)
                if (aggregator) aggregator->run(row);
        }
        failure.rethrow();
    });
}
