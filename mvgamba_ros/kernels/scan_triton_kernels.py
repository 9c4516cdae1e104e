"""The kernels of `scan_triton`, which imports Triton with this module; the arguments' order is that of its `_Grid`.

A tile is (STATES, LANES): the states of 32 channels, channels along the lanes. Per-token tensors are read by their
strides ``_b``, ``_d``, ``_l`` along scenes, channels and tokens (``_n`` along states).
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _softplus(x):
    """log(1 + e^x). For steps of a thousandth 1 + e^x loses most of e^x; what it has lost is divided out again."""
    e = tl.exp(tl.minimum(x, 20.0))
    one = 1.0 + e
    small = tl.where(one == 1.0, e, tl.log(one) * (e / tl.where(one == 1.0, 1.0, one - 1.0)))
    return tl.where(x > 20.0, x, small)


@triton.jit
def _sigmoid(x):
    e = tl.exp(-tl.abs(x))
    return tl.where(x >= 0, 1.0, e) / (1.0 + e)


@triton.jit
def _within(index, size, t, length):
    """Which of ``index`` are below ``size``; none for a token beyond the last."""
    return index < tl.where(t < length, size, 0)


@triton.jit
def _step(delta, bias, here, SOFTPLUS: tl.constexpr):
    """The length of a token's step, and what its logarithm's softplus was taken of."""
    x = delta + bias
    dt = _softplus(x) if SOFTPLUS else x
    return tl.where(here, dt, 0.0), x


@triton.jit
def _reach(
    u, delta, z, B, C,
    u_b, u_d, u_l, delta_b, delta_d, delta_l, z_b, z_d, z_l, B_b, B_n, B_l, C_b, C_n, C_l,
    A, D, bias, length, width, count, chunks,
    reached, total,
    HAS_D: tl.constexpr, HAS_Z: tl.constexpr, HAS_BIAS: tl.constexpr, SOFTPLUS: tl.constexpr,
    CHUNK: tl.constexpr, STATES: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    """The state after each chunk from a state of zero, and the sum of the chunk's steps."""
    d = tl.program_id(0) * LANES + tl.arange(0, LANES)
    k, b = tl.program_id(1), tl.program_id(2).to(tl.int64)
    n = tl.arange(0, STATES)
    there = d < width
    tile = (n[:, None] < count) & there[None, :]
    rates = tl.load(A + d[None, :] * count + n[:, None], mask=tile, other=0.0).to(tl.float32)
    shift = tl.load(bias + d, mask=there, other=0.0).to(tl.float32) if HAS_BIAS else tl.zeros([LANES], tl.float32)
    h = tl.zeros([STATES, LANES], tl.float32)
    time = tl.zeros([LANES], tl.float32)
    for i in range(CHUNK):
        t = (k * CHUNK + i).to(tl.int64)
        here, known = _within(d, width, t, length), _within(n, count, t, length)
        x = tl.load(u + b * u_b + d * u_d + t * u_l, mask=here, other=0.0).to(tl.float32)
        raw = tl.load(delta + b * delta_b + d * delta_d + t * delta_l, mask=here, other=0.0).to(tl.float32)
        into = tl.load(B + b * B_b + n * B_n + t * B_l, mask=known, other=0.0).to(tl.float32)
        dt, _ = _step(raw, shift, here, SOFTPLUS)
        h = tl.exp(dt[None, :] * rates) * h + (dt * x)[None, :] * into[:, None]
        time += dt
    at = (b * chunks + k) * count * width
    tl.store(reached + at + n[:, None] * width + d[None, :], h, mask=tile)
    tl.store(total + (b * chunks + k) * width + d, time, mask=there)


@triton.jit
def _compose(
    A, states, total, last, width, count, chunks,
    BACK: tl.constexpr, STATES: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    """What each chunk makes of zero -> what each begins with, from the first to the last, or ``BACK``."""
    d = tl.program_id(0) * LANES + tl.arange(0, LANES)
    b = tl.program_id(1).to(tl.int64)
    n = tl.arange(0, STATES)
    there = d < width
    tile = (n[:, None] < count) & there[None, :]
    rates = tl.load(A + d[None, :] * count + n[:, None], mask=tile, other=0.0).to(tl.float32)
    h = tl.zeros([STATES, LANES], tl.float32)
    i = 0
    while i < chunks:  # the interpreters of Triton before 3.9 cannot count to a number that is an argument
        k = chunks - 1 - i if BACK else i
        at = states + (b * chunks + k) * count * width + n[:, None] * width + d[None, :]
        time = tl.load(total + (b * chunks + k) * width + d, mask=there, other=0.0)
        added = tl.load(at, mask=tile, other=0.0)
        tl.store(at, h, mask=tile)
        h = tl.exp(time[None, :] * rates) * h + added
        i += 1
    tl.store(last + (b * width + d[None, :]) * count + n[:, None], h, mask=tile)


@triton.jit
def _forward(
    u, delta, z, B, C,
    u_b, u_d, u_l, delta_b, delta_d, delta_l, z_b, z_d, z_l, B_b, B_n, B_l, C_b, C_n, C_l,
    A, D, bias, length, width, count, chunks,
    starts, y, y_b, y_d, y_l,
    HAS_D: tl.constexpr, HAS_Z: tl.constexpr, HAS_BIAS: tl.constexpr, SOFTPLUS: tl.constexpr,
    CHUNK: tl.constexpr, STATES: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    """The output of each chunk from the state that it begins with."""
    d = tl.program_id(0) * LANES + tl.arange(0, LANES)
    k, b = tl.program_id(1), tl.program_id(2).to(tl.int64)
    n = tl.arange(0, STATES)
    there = d < width
    tile = (n[:, None] < count) & there[None, :]
    rates = tl.load(A + d[None, :] * count + n[:, None], mask=tile, other=0.0).to(tl.float32)
    shift = tl.load(bias + d, mask=there, other=0.0).to(tl.float32) if HAS_BIAS else tl.zeros([LANES], tl.float32)
    past = tl.load(D + d, mask=there, other=0.0).to(tl.float32) if HAS_D else tl.zeros([LANES], tl.float32)
    at = (b * chunks + k) * count * width
    h = tl.load(starts + at + n[:, None] * width + d[None, :], mask=tile, other=0.0)
    for i in range(CHUNK):
        t = (k * CHUNK + i).to(tl.int64)
        here, known = _within(d, width, t, length), _within(n, count, t, length)
        x = tl.load(u + b * u_b + d * u_d + t * u_l, mask=here, other=0.0).to(tl.float32)
        raw = tl.load(delta + b * delta_b + d * delta_d + t * delta_l, mask=here, other=0.0).to(tl.float32)
        into = tl.load(B + b * B_b + n * B_n + t * B_l, mask=known, other=0.0).to(tl.float32)
        out = tl.load(C + b * C_b + n * C_n + t * C_l, mask=known, other=0.0).to(tl.float32)
        dt, _ = _step(raw, shift, here, SOFTPLUS)
        h = tl.exp(dt[None, :] * rates) * h + (dt * x)[None, :] * into[:, None]
        value = tl.sum(h * out[:, None], 0) + past * x
        if HAS_Z:
            gate = tl.load(z + b * z_b + d * z_d + t * z_l, mask=here, other=0.0).to(tl.float32)
            value *= gate * _sigmoid(gate)
        tl.store(y + b * y_b + d * y_d + t * y_l, value, mask=here)


@triton.jit
def _reach_back(
    u, delta, z, B, C,
    u_b, u_d, u_l, delta_b, delta_d, delta_l, z_b, z_d, z_l, B_b, B_n, B_l, C_b, C_n, C_l,
    A, D, bias, length, width, count, chunks,
    dy, dy_b, dy_d, dy_l, reached,
    HAS_D: tl.constexpr, HAS_Z: tl.constexpr, HAS_BIAS: tl.constexpr, SOFTPLUS: tl.constexpr,
    CHUNK: tl.constexpr, STATES: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    """The gradient of the state before each chunk, where nothing after the chunk has any."""
    d = tl.program_id(0) * LANES + tl.arange(0, LANES)
    k, b = tl.program_id(1), tl.program_id(2).to(tl.int64)
    n = tl.arange(0, STATES)
    there = d < width
    tile = (n[:, None] < count) & there[None, :]
    rates = tl.load(A + d[None, :] * count + n[:, None], mask=tile, other=0.0).to(tl.float32)
    shift = tl.load(bias + d, mask=there, other=0.0).to(tl.float32) if HAS_BIAS else tl.zeros([LANES], tl.float32)
    g = tl.zeros([STATES, LANES], tl.float32)
    for i in range(CHUNK):
        t = (k * CHUNK + CHUNK - 1 - i).to(tl.int64)
        here, known = _within(d, width, t, length), _within(n, count, t, length)
        raw = tl.load(delta + b * delta_b + d * delta_d + t * delta_l, mask=here, other=0.0).to(tl.float32)
        out = tl.load(C + b * C_b + n * C_n + t * C_l, mask=known, other=0.0).to(tl.float32)
        grad = tl.load(dy + b * dy_b + d * dy_d + t * dy_l, mask=here, other=0.0).to(tl.float32)
        if HAS_Z:
            gate = tl.load(z + b * z_b + d * z_d + t * z_l, mask=here, other=0.0).to(tl.float32)
            grad *= gate * _sigmoid(gate)
        dt, _ = _step(raw, shift, here, SOFTPLUS)
        g = (g + out[:, None] * grad[None, :]) * tl.exp(dt[None, :] * rates)
    at = (b * chunks + k) * count * width
    tl.store(reached + at + n[:, None] * width + d[None, :], g, mask=tile)


@triton.jit
def _backward(
    u, delta, z, B, C,
    u_b, u_d, u_l, delta_b, delta_d, delta_l, z_b, z_d, z_l, B_b, B_n, B_l, C_b, C_n, C_l,
    A, D, bias, length, width, count, chunks,
    dy, dy_b, dy_d, dy_l, starts, arriving,
    du, ddelta, dz, dB, dC, dA, dD, scratch, first,
    HAS_D: tl.constexpr, HAS_Z: tl.constexpr, HAS_BIAS: tl.constexpr, SOFTPLUS: tl.constexpr,
    CHUNK: tl.constexpr, STATES: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    """All gradients of each chunk, from the state that it begins with and the gradient of the one that it ends with.

    ``du``, ``ddelta``, ``dz`` (batch, length, width); ``dB``, ``dC`` (batch, blocks of channels, length, states);
    ``dA`` (batch, chunks, states, width); ``dD`` (batch, chunks, width): float32, contiguous.
    """
    block, blocks = tl.program_id(0), tl.num_programs(0)
    d = block * LANES + tl.arange(0, LANES)
    k, b = tl.program_id(1) + first, tl.program_id(2).to(tl.int64)
    n = tl.arange(0, STATES)
    there = d < width
    tile = (n[:, None] < count) & there[None, :]
    rates = tl.load(A + d[None, :] * count + n[:, None], mask=tile, other=0.0).to(tl.float32)
    shift = tl.load(bias + d, mask=there, other=0.0).to(tl.float32) if HAS_BIAS else tl.zeros([LANES], tl.float32)
    past = tl.load(D + d, mask=there, other=0.0).to(tl.float32) if HAS_D else tl.zeros([LANES], tl.float32)
    of_chunk = (b * chunks + k) * count * width + n[:, None] * width + d[None, :]

    program = (b * tl.num_programs(1) + tl.program_id(1)) * blocks + block
    kept = scratch + program * (CHUNK * STATES * LANES) + n[:, None] * LANES + tl.arange(0, LANES)[None, :]
    h = tl.load(starts + of_chunk, mask=tile, other=0.0)
    for i in range(CHUNK):
        t = (k * CHUNK + i).to(tl.int64)
        here, known = _within(d, width, t, length), _within(n, count, t, length)
        x = tl.load(u + b * u_b + d * u_d + t * u_l, mask=here, other=0.0).to(tl.float32)
        raw = tl.load(delta + b * delta_b + d * delta_d + t * delta_l, mask=here, other=0.0).to(tl.float32)
        into = tl.load(B + b * B_b + n * B_n + t * B_l, mask=known, other=0.0).to(tl.float32)
        dt, _ = _step(raw, shift, here, SOFTPLUS)
        tl.store(kept + i * (STATES * LANES), h)
        h = tl.exp(dt[None, :] * rates) * h + (dt * x)[None, :] * into[:, None]
    tl.debug_barrier()  # what is read below was written by this very program

    g = tl.load(arriving + of_chunk, mask=tile, other=0.0)
    sum_A = tl.zeros([STATES, LANES], tl.float32)
    sum_D = tl.zeros([LANES], tl.float32)
    for i in range(CHUNK):
        j = CHUNK - 1 - i
        t = (k * CHUNK + j).to(tl.int64)
        here, known = _within(d, width, t, length), _within(n, count, t, length)
        x = tl.load(u + b * u_b + d * u_d + t * u_l, mask=here, other=0.0).to(tl.float32)
        raw = tl.load(delta + b * delta_b + d * delta_d + t * delta_l, mask=here, other=0.0).to(tl.float32)
        into = tl.load(B + b * B_b + n * B_n + t * B_l, mask=known, other=0.0).to(tl.float32)
        out = tl.load(C + b * C_b + n * C_n + t * C_l, mask=known, other=0.0).to(tl.float32)
        grad = tl.load(dy + b * dy_b + d * dy_d + t * dy_l, mask=here, other=0.0).to(tl.float32)
        before = tl.load(kept + j * (STATES * LANES))
        dt, logit = _step(raw, shift, here, SOFTPLUS)
        decayed = tl.exp(dt[None, :] * rates) * before
        h = decayed + (dt * x)[None, :] * into[:, None]
        token = (b * length + t) * width + d
        if HAS_Z:
            gate = tl.load(z + b * z_b + d * z_d + t * z_l, mask=here, other=0.0).to(tl.float32)
            open_ = _sigmoid(gate)
            value = tl.sum(h * out[:, None], 0) + past * x
            tl.store(dz + token, grad * value * open_ * (1.0 + gate * (1.0 - open_)), mask=here)
            grad *= gate * open_
        g += out[:, None] * grad[None, :]
        row = ((b * blocks + block) * length + t) * count + n
        tl.store(dC + row, tl.sum(h * grad[None, :], 1), mask=known)
        tl.store(dB + row, tl.sum(g * (dt * x)[None, :], 1), mask=known)
        through = tl.sum(g * into[:, None], 0)
        tl.store(du + token, through * dt + past * grad, mask=here)
        of_rate = g * decayed
        slope = tl.sum(of_rate * rates, 0) + through * x
        if SOFTPLUS:
            slope *= _sigmoid(logit)
        tl.store(ddelta + token, slope, mask=here)
        sum_A += of_rate * dt[None, :]
        sum_D += grad * x
        g *= tl.exp(dt[None, :] * rates)
    tl.store(dA + of_chunk, sum_A, mask=tile)
    tl.store(dD + (b * chunks + k) * width + d, sum_D, mask=there)
