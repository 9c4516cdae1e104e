// What every kernel source shares with Python: the C calling convention and the tensor argument.
//
// Kernels are plain C functions, found by name with ctypes (../native.py). They allocate no results, keep no state
// between calls and take the thread count as an argument, so that they are safe to call from several Python threads.
#pragma once
#include <cstdint>

#define MVGAMBA_EXPORT extern "C" __attribute__((visibility("default")))
