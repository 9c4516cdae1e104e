// OpenSplat's CPU rasteriser as operators of torch, for `benchmarks.kernels_others`: torch.ops.bridge_opensplat.
//
// The projection is made of torch's operations and differentiates itself; blending and its gradients are two calls, as
// OpenSplat's training makes them.
#include <cstdint>
#include <tuple>
#include <vector>
#include "bindings.h"

namespace {

using torch::Tensor;

// One view: T (4, 4) from world to camera, P (4, 4) from world to clip space.
// -> centres (N, 2), inverse covariances (N, 3), covariances (N, 2, 2), depths (N)
std::tuple<Tensor, Tensor, Tensor, Tensor> project(Tensor means, Tensor scales, Tensor quats, Tensor T, Tensor P,
                                                   double fx, double fy, double cx, double cy, int64_t height,
                                                   int64_t width) {
    auto [centers, radii, conics, covariances, depths] = project_gaussians_forward_tensor_cpu(
        means.size(0), means, scales, 1.0f, quats, T, P, fx, fy, cx, cy, height, width, 0.01f);
    return {centers, conics, covariances, depths.contiguous()};  // blending reads them as if they were, and would sort
                                                                 // by what lies between them
}

// Of each pixel, the Gaussians that it blends; a tensor without elements owns them.
using Blended = std::vector<int32_t>;
Tensor owner_of(Blended* lists) {
    return torch::from_blob(lists, {0}, [](void* owned) { delete[] static_cast<Blended*>(owned); });
}

// -> colour (H, W, 3), transmittance (H, W), and what the gradients need of the lists
std::tuple<Tensor, Tensor, Tensor, int64_t> blend(int64_t width, int64_t height, Tensor centers, Tensor conics,
                                                  Tensor colors, Tensor opacities, Tensor background,
                                                  Tensor covariances, Tensor depths) {
    auto [image, transmittance, lists] = rasterize_forward_tensor_cpu(width, height, centers, conics, colors,
                                                                      opacities, background, covariances, depths);
    return {image, transmittance, owner_of(lists), reinterpret_cast<int64_t>(lists)};
}

// -> gradients of centres, inverse covariances, colours and opacities (N, 1)
std::tuple<Tensor, Tensor, Tensor, Tensor> blend_backward(int64_t width, int64_t height, Tensor centers, Tensor conics,
                                                          Tensor colors, Tensor opacities, Tensor background,
                                                          Tensor covariances, Tensor depths, Tensor transmittance,
                                                          int64_t lists, Tensor of_image, Tensor of_alpha) {
    return rasterize_backward_tensor_cpu(height, width, centers, conics, colors, opacities, background, covariances,
                                         depths, transmittance, reinterpret_cast<Blended*>(lists), of_image, of_alpha);
}

}  // namespace

TORCH_LIBRARY(bridge_opensplat, m) {
    m.def("project", project);
    m.def("blend", blend);
    m.def("blend_backward", blend_backward);
}
