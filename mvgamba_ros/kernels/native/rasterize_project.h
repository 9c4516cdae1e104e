// From 3D Gaussians to splats on an image plane, LANES Gaussians at a time, and the way back for gradients.
//
// A splat's 2D normal is kept as y's normal times that of x given y (variance of x given y, slope of x's mean over y,
// variance of y). In a pixel row y is constant, so the falloff is one square per pixel, the row's span is one square
// root, and neither cancels for a long thin splat as the usual a dx^2 + 2 b dx dy + c dy^2 does.
#pragma once
#include <cmath>
#include <cstddef>

#include "vecmath.h"
#if defined(__aarch64__)
#include <arm_neon.h>
#elif defined(__x86_64__)
#include <immintrin.h>
#endif

namespace mvgamba {

constexpr float NEAR = 0.01f, FAR = 1e10f;
constexpr float LOW_PASS = 0.3f;
constexpr float ALPHA_MIN = 1.0f / 255.0f;
constexpr float ALPHA_MAX = 0.99f;
constexpr float TRANSMITTANCE_MIN = 1e-4f;
constexpr float FIELD_OF_VIEW_MARGIN = 0.3f;
constexpr float LARGEST_DETERMINANT = 1e37f;
constexpr float LOG2_255 = 7.99435343685885793f;
constexpr float SPAN_SLACK = 1e-3f;  // pixels added to spans, so that rounding loses no pixel; alpha itself decides

MVGAMBA_INLINE Vec vsqrt(Vec x) {
#if MVGAMBA_LANES == 16
    return (Vec)_mm512_sqrt_ps((__m512)x);
#elif MVGAMBA_LANES == 8
    return (Vec)_mm256_sqrt_ps((__m256)x);
#elif defined(__x86_64__)
    return (Vec)_mm_sqrt_ps((__m128)x);
#else
    return (Vec)vsqrtq_f32((float32x4_t)x);
#endif
}

struct Camera {
    float R[9], t[3];  // world to camera
    float fx, fy, cx, cy;
    float u_min, u_max, v_min, v_max;  // where x / z and y / z are clamped for the Jacobian
};

inline Camera make_camera(const float* T_camera_world, const float* K, int width, int height) {
    Camera c;
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 3; j++) c.R[3 * i + j] = T_camera_world[4 * i + j];
        c.t[i] = T_camera_world[4 * i + 3];
    }
    c.fx = K[0], c.fy = K[4], c.cx = K[2], c.cy = K[5];
    const float margin_x = FIELD_OF_VIEW_MARGIN * width / (2 * c.fx), margin_y = FIELD_OF_VIEW_MARGIN * height / (2 * c.fy);
    c.u_min = -c.cx / c.fx - margin_x, c.u_max = (width - c.cx) / c.fx + margin_x;
    c.v_min = -c.cy / c.fy - margin_y, c.v_max = (height - c.cy) / c.fy + margin_y;
    return c;
}

// A Gaussian in one view. Pixels [x0, x1) x [y0, y1) bound where it can be seen; x0 == x1 when nowhere.
struct alignas(64) Splat {
    float x, y;        // centre, pixels
    float slope;       // of the mean of x over y
    float falloff_x;   // log2(alpha) falls by this times the square of x's distance from its mean in the row ...
    float falloff_y;   // ... and by this times the square of the row's distance from y (both negative)
    float peak;        // log2(opacity)
    float color[3], z;
    int16_t x0, x1, y0, y1;
    uint32_t slot;     // of its first tile's gradient
};

// LANES Gaussians: M = rotation * diag(scale), of which M M^T is the covariance.
struct Block {
    Vec mean[3], quat[4], quat_scale, scale[3], rotation[9], M[9], opacity, peak;
};

inline Block load_block(const float* means, const float* quats, const float* scales, const float* opacities, int count) {
    Block g{};
    for (int l = 0; l < count; l++) {
        for (int k = 0; k < 3; k++) g.mean[k][l] = means[3 * l + k];
        for (int k = 0; k < 3; k++) g.scale[k][l] = scales[3 * l + k];
        for (int k = 0; k < 4; k++) g.quat[k][l] = quats[4 * l + k];
        g.opacity[l] = opacities[l];
        g.peak[l] = std::log2(opacities[l]);
    }
    Vec largest{};  // divided out first: the squares of a very long or short quaternion leave float32's range
    for (const Vec& q : g.quat) largest = vmax(largest, vmax(q, -q));
    const Vec shrink = largest > 1e-12f ? 1.0f / largest : splat(1.0f);
    Vec square{};
    for (Vec& q : g.quat) {
        q *= shrink;
        square += q * q;
    }
    const Vec inv_norm = square > 0.5f ? 1.0f / vsqrt(square) : splat(1.0f);
    g.quat_scale = shrink * inv_norm;
    for (Vec& q : g.quat) q *= inv_norm;
    const Vec w = g.quat[0], x = g.quat[1], y = g.quat[2], z = g.quat[3];
    const Vec rotation[9] = {1 - 2 * (y * y + z * z), 2 * (x * y - w * z),     2 * (x * z + w * y),
                             2 * (x * y + w * z),     1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
                             2 * (x * z - w * y),     2 * (y * z + w * x),     1 - 2 * (x * x + y * y)};
    for (int k = 0; k < 9; k++) {
        g.rotation[k] = rotation[k];
        g.M[k] = rotation[k] * g.scale[k % 3];
    }
    return g;
}

// What projecting a block into a view gives, with the steps on the way that the gradient needs again.
struct Projection {
    Vec x, y, z, inv_z;          // camera frame
    Vec u, v;                    // x / z and y / z, clamped
    IVec u_free, v_free;         // whether they were not
    Vec jx, jxz, jy, jyz;        // the Jacobian's four entries that are not zero
    Vec JR[6], A[6];             // (2, 3) each; A = J R M, and A A^T + low pass is the projected covariance
    Vec var_y, slope, var_x;     // y's variance, slope of x's mean over y, variance of x given y
    Vec c00, center_x, center_y;
    IVec in_front;               // and finite
};

MVGAMBA_INLINE Projection project(const Camera& cam, const Block& g) {
    Projection p;
    const float* R = cam.R;
    p.x = R[0] * g.mean[0] + R[1] * g.mean[1] + R[2] * g.mean[2] + cam.t[0];
    p.y = R[3] * g.mean[0] + R[4] * g.mean[1] + R[5] * g.mean[2] + cam.t[1];
    p.z = R[6] * g.mean[0] + R[7] * g.mean[1] + R[8] * g.mean[2] + cam.t[2];
    p.in_front = (p.z > NEAR) & (p.z < FAR);
    p.z = p.in_front ? p.z : splat(1.0f);
    p.inv_z = 1.0f / p.z;
    p.center_x = cam.fx * (p.x * p.inv_z) + cam.cx;
    p.center_y = cam.fy * (p.y * p.inv_z) + cam.cy;

    const Vec u = p.x * p.inv_z, v = p.y * p.inv_z;
    p.u = vmin(vmax(u, splat(cam.u_min)), splat(cam.u_max));
    p.v = vmin(vmax(v, splat(cam.v_min)), splat(cam.v_max));
    p.u_free = p.u == u;
    p.v_free = p.v == v;
    p.jx = cam.fx * p.inv_z;
    p.jy = cam.fy * p.inv_z;
    p.jxz = -p.jx * p.u;
    p.jyz = -p.jy * p.v;
    for (int k = 0; k < 3; k++) {
        p.JR[k] = p.jx * R[k] + p.jxz * R[6 + k];
        p.JR[3 + k] = p.jy * R[3 + k] + p.jyz * R[6 + k];
    }
    for (int r = 0; r < 2; r++)
        for (int k = 0; k < 3; k++)
            p.A[3 * r + k] = p.JR[3 * r] * g.M[k] + p.JR[3 * r + 1] * g.M[3 + k] + p.JR[3 * r + 2] * g.M[6 + k];
    const Vec* a = p.A;
    const Vec* b = p.A + 3;
    const Vec c00 = a[0] * a[0] + a[1] * a[1] + a[2] * a[2], c11 = b[0] * b[0] + b[1] * b[1] + b[2] * b[2];
    const Vec c01 = a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
    // the determinant of A A^T is the sum of A's squared minors (Cauchy-Binet): no cancellation
    const Vec m0 = a[1] * b[2] - a[2] * b[1], m1 = a[2] * b[0] - a[0] * b[2], m2 = a[0] * b[1] - a[1] * b[0];
    const Vec determinant = LOW_PASS * (c00 + c11 + LOW_PASS) + (m0 * m0 + m1 * m1 + m2 * m2);
    p.c00 = c00 + LOW_PASS;
    p.var_y = c11 + LOW_PASS;
    p.slope = c01 / p.var_y;
    p.var_x = determinant / p.var_y;
    p.in_front &= determinant < LARGEST_DETERMINANT;
    return p;
}

// Gradients of a block, summed over its views.
struct BlockGradient {
    Vec mean[3]{}, M[9]{}, opacity{}, color[3]{};
};

// What the tiles sum up per splat: over its pixels, with s = dL/d(log alpha), e = x's distance from its mean in the
// row and dy = the row's from the centre; then the colour's and z's gradients.
enum Moment { S, S_E, S_EE, S_Y, S_EY, S_YY, RED, GREEN, BLUE, DEPTH, MOMENTS };

// Adds one view's share. `m` are the moments (zero where a lane is not seen), `seen` the lanes that are. `pose`, when
// not null, gets dL/dR (9) and dL/dt (3).
MVGAMBA_INLINE void project_backward(const Camera& cam, const Block& g, const Vec* m, IVec seen, BlockGradient& out, Vec* pose) {
    const Projection p = project(cam, g);
    const float* R = cam.R;
    const Vec inv_x = 1.0f / p.var_x, inv_y = 1.0f / p.var_y;
    const Vec d_center_x = inv_x * m[S_E];
    const Vec d_center_y = inv_y * m[S_Y] - inv_x * p.slope * m[S_E];

    const Vec d_var_x = 0.5f * inv_x * inv_x * m[S_EE];
    const Vec d_slope = inv_x * m[S_EY] * inv_y;  // over var_y: how it enters c01 and c11
    const Vec d00 = d_var_x;
    const Vec d01 = d_slope - 2.0f * p.slope * d_var_x;
    const Vec d11 = p.slope * (p.slope * d_var_x - d_slope) + 0.5f * inv_y * inv_y * m[S_YY];
    Vec dA[6], dJR[6];
    const Vec zero{};
    for (int k = 0; k < 3; k++) {
        const Vec a = 2.0f * d00 * p.A[k] + d01 * p.A[3 + k], b = d01 * p.A[k] + 2.0f * d11 * p.A[3 + k];
        dA[k] = seen ? a : zero;
        dA[3 + k] = seen ? b : zero;
    }
    for (int r = 0; r < 2; r++)
        for (int k = 0; k < 3; k++)
            dJR[3 * r + k] = dA[3 * r] * g.M[3 * k] + dA[3 * r + 1] * g.M[3 * k + 1] + dA[3 * r + 2] * g.M[3 * k + 2];
    for (int k = 0; k < 3; k++)
        for (int j = 0; j < 3; j++) out.M[3 * k + j] += p.JR[k] * dA[j] + p.JR[3 + k] * dA[3 + j];

    const Vec d_jx = dJR[0] * R[0] + dJR[1] * R[1] + dJR[2] * R[2], d_jxz = dJR[0] * R[6] + dJR[1] * R[7] + dJR[2] * R[8];
    const Vec d_jy = dJR[3] * R[3] + dJR[4] * R[4] + dJR[5] * R[5], d_jyz = dJR[3] * R[6] + dJR[4] * R[7] + dJR[5] * R[8];
    const Vec d_u = p.u_free ? -p.jx * d_jxz : zero, d_v = p.v_free ? -p.jy * d_jyz : zero;
    Vec dx = p.inv_z * d_u + p.jx * d_center_x;
    Vec dy = p.inv_z * d_v + p.jy * d_center_y;
    const Vec d_inv_z = cam.fx * (d_jx - p.u * d_jxz + p.x * d_center_x) + p.x * d_u +
                        cam.fy * (d_jy - p.v * d_jyz + p.y * d_center_y) + p.y * d_v;
    Vec dz = m[DEPTH] - p.inv_z * p.inv_z * d_inv_z;
    dx = seen ? dx : zero;
    dy = seen ? dy : zero;
    dz = seen ? dz : zero;

    for (int k = 0; k < 3; k++) out.mean[k] += R[k] * dx + R[3 + k] * dy + R[6 + k] * dz;
    out.opacity += seen ? m[S] / g.opacity : zero;
    for (int k = 0; k < 3; k++) out.color[k] += m[RED + k];
    if (pose) {
        for (int k = 0; k < 3; k++) {
            pose[k] += dx * g.mean[k] + p.jx * dJR[k];
            pose[3 + k] += dy * g.mean[k] + p.jy * dJR[3 + k];
            pose[6 + k] += dz * g.mean[k] + p.jxz * dJR[k] + p.jyz * dJR[3 + k];
        }
        pose[9] += dx;
        pose[10] += dy;
        pose[11] += dz;
    }
}

// From dL/dM to the scales and the quaternions as they were given (not normalised), written for `count` Gaussians.
inline void shape_backward(const Block& g, const Vec* dM, float* d_scales, float* d_quats, int count) {
    Vec d_scale[3]{}, dR[9];
    for (int k = 0; k < 9; k++) {
        d_scale[k % 3] += dM[k] * g.rotation[k];
        dR[k] = dM[k] * g.scale[k % 3];
    }
    const Vec w = g.quat[0], x = g.quat[1], y = g.quat[2], z = g.quat[3];
    Vec dq[4] = {2 * (z * (dR[3] - dR[1]) + y * (dR[2] - dR[6]) + x * (dR[7] - dR[5])),
                 2 * (y * (dR[1] + dR[3]) + z * (dR[2] + dR[6]) + w * (dR[7] - dR[5]) - 2 * x * (dR[4] + dR[8])),
                 2 * (x * (dR[1] + dR[3]) + z * (dR[5] + dR[7]) + w * (dR[2] - dR[6]) - 2 * y * (dR[0] + dR[8])),
                 2 * (x * (dR[2] + dR[6]) + y * (dR[5] + dR[7]) + w * (dR[3] - dR[1]) - 2 * z * (dR[0] + dR[4]))};
    const Vec radial = dq[0] * w + dq[1] * x + dq[2] * y + dq[3] * z;
    for (int k = 0; k < 4; k++) dq[k] = (dq[k] - radial * g.quat[k]) * g.quat_scale;
    for (int l = 0; l < count; l++) {
        for (int k = 0; k < 3; k++) d_scales[3 * l + k] = d_scale[k][l];
        for (int k = 0; k < 4; k++) d_quats[4 * l + k] = dq[k][l];
    }
}

}  // namespace mvgamba
