// Small networks along rays: dense layers and convolutions over the positions of a ray, a few channels wide, all of a
// ray's layers while its numbers are in the first cache. Forward only, float32; ../ray_layers.py says what they compute.
//
// Lanes lie along a ray, so a convolution reads its neighbours by loads that are shifted by a lane, and what other views
// say of a ray's points goes from their look-ups into the layers as it is. Threads share out the rays.
#include <algorithm>
#include <vector>
#include "abi.h"
#include "sightlines.h"

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

// `base`: what is added to each output, the layer's bias or more.
void apply(const Layer& layer, const float* base, const Channels& in, Channels& out, int64_t positions, bool relu) {
    int64_t first = 0;
    for (; first + AT_ONCE <= layer.outputs; first += AT_ONCE)
        some_outputs<AT_ONCE>(layer, first, base, in, out, positions, relu);
    for (; first < layer.outputs; first++) some_outputs<1>(layer, first, base, in, out, positions, relu);
}

int64_t widest(const Layer* layers, int64_t count) {
    int64_t most = 0;
    for (int64_t i = 0; i < count; i++) most = std::max({most, layers[i].inputs, layers[i].outputs});
    return most;
}

// Layers with a ReLU between one and the next; to the first one's outputs is added what is known of the whole ray. One
// for each thread.
class Along {
  public:
    Along(const Layer* layers, int64_t count, int64_t positions)
        : layers_(layers), count_(count), positions_(positions), base_(layers[0].outputs),
          in_(widest(layers, count), positions), out_(widest(layers, count), positions) {}
    Channels& inputs() { return in_; }
    // inputs(), which is lost, and of_ray (outputs of the first) -> (outputs of the last, positions)
    void run(const float* of_ray, float* to) {
        for (size_t k = 0; k < base_.size(); k++) base_[k] = layers_[0].bias[k] + of_ray[k];
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

}  // namespace
}  // namespace mvgamba

using namespace mvgamba;

// x (rays, inputs, positions), of_rays (rays, outputs of the first layer) -> out (rays, outputs of the last, positions)
MVGAMBA_EXPORT void mvgamba_along_rays(const Layer* layers, int64_t count, int64_t rays, int64_t positions,
                                       int64_t threads, const float* x, const float* of_rays, float* out) {
    const int64_t inputs = layers[0].inputs, outputs = layers[count - 1].outputs;
#pragma omp parallel num_threads(threads)
    {
        Along along(layers, count, positions);
#pragma omp for schedule(static)
        for (int64_t ray = 0; ray < rays; ray++) {
            for (int64_t i = 0; i < inputs; i++)
                std::copy_n(x + (ray * inputs + i) * positions, positions, along.inputs()[i]);
            along.run(of_rays + ray * layers[0].outputs, out + ray * outputs * positions);
        }
    }
}

// `rays`, pictures, found, grid, depths (rays, rows, positions), own and least_doubt as of mvgamba_sample_source_views, of `rows`
// rows of positions for each ray. view_layers: `view_count` without taps, over what a view says. beside (rays, rows,
// others, positions). layers, of_rays (rays, rows, ...) and out as above, for each row.
MVGAMBA_EXPORT void mvgamba_aggregate_views(const Rays* rays, const float* pictures, const float* found, int64_t grid,
                                        int64_t rows, const float* depths, const float* own, float least_doubt,
                                        const Layer* view_layers, int64_t view_count, int64_t others,
                                        const float* beside, const Layer* layers, int64_t count, const float* of_rays,
                                        float* out) {
    const Rays& s = *rays;
    const int64_t told_of = view_layers[view_count - 1].outputs, outputs = layers[count - 1].outputs;
    const int64_t asked = std::max<int64_t>(s.views - 1, 1);  // where there is no other view, one that says nothing
#pragma omp parallel num_threads(s.threads)
    {
        Along along(layers, count, s.positions);
        Channels said(std::max<int64_t>(widest(view_layers, view_count), NUM_VIEW_FEATURES), s.positions), told = said;
#pragma omp for schedule(static)
        for (int64_t row = 0; row < s.rays * rows; row++) {
            const int64_t ray = row / rows;
            Channels& joined = along.inputs();
            for (int64_t other = 0; other < asked; other++) {
                const int64_t view = other + (other >= s.view);
                if (s.views == 1)
                    for (int k = 0; k < NUM_VIEW_FEATURES; k++) std::fill_n(said[k], s.positions, 0.0f);
                else {
                    const Line line(s, view, ray);
                    each_vector(s.positions, [&](int64_t n, int lanes) {
                        Vec tells[NUM_VIEW_FEATURES];
                        tell(line, load_some(depths + row * s.positions + n, lanes),
                             pictures + view * s.size * s.size * 5, s.size, found + view * grid * grid * 5, grid,
                             own + ray * 4, least_doubt, tells);
                        for (int k = 0; k < NUM_VIEW_FEATURES; k++) store_some(said[k] + n, tells[k], lanes);
                    });
                }
                for (int64_t i = 0; i < view_count; i++) {
                    apply(view_layers[i], view_layers[i].bias, said, told, s.positions, true);
                    std::swap(said, told);
                }
                for (int64_t k = 0; k < told_of; k++)
                    each_vector(s.positions, [&](int64_t n, int lanes) {
                        const Vec x = load(said[k] + n);
                        float *mean = joined[k] + n, *most = joined[told_of + k] + n;
                        store_some(mean, (other ? load(mean) : Vec{}) + x, lanes);
                        store_some(most, other ? vmax(load(most), x) : x, lanes);
                    });
            }
            for (int64_t k = 0; k < told_of; k++)
                each_vector(s.positions, [&](int64_t n, int lanes) {
                    store_some(joined[k] + n, load(joined[k] + n) / static_cast<float>(asked), lanes);
                });
            for (int64_t k = 0; k < others; k++)
                std::copy_n(beside + (row * others + k) * s.positions, s.positions, joined[2 * told_of + k]);
            along.run(of_rays + row * layers[0].outputs, out + row * outputs * s.positions);
        }
    }
}
