// What every kernel source shares with Python: the C calling convention and the tensor argument.
//
// Kernels are plain C functions, found by name with ctypes (../native.py). They allocate no results, keep no state
// between calls and take the thread count as an argument, so that they are safe to call from several Python threads.
// Each returns a Status: no exception may leave a C function, nor a parallel region (parallel.h), and one that did
// would end the process.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <new>
#include <stdexcept>

#define MVGAMBA_EXPORT extern "C" __attribute__((visibility("default")))

namespace mvgamba {

// Mirrored by `Status` in ../native.py.
enum Status : int { DONE, OUT_OF_MEMORY, DOES_NOT_FIT, FAILED };

// Runs body() and says what became of it.
template <class Body>
int status_of(const Body& body) noexcept {
    try {
        body();
        return DONE;
    } catch (const std::bad_alloc&) {
        return OUT_OF_MEMORY;
    } catch (const std::length_error&) {  // of a container: more elements than can be
        return OUT_OF_MEMORY;
    } catch (const std::invalid_argument&) {
        return DOES_NOT_FIT;
    } catch (...) {
        return FAILED;
    }
}

// Sizes that no caller may pass; Python's checks of shapes come first and name the argument.
inline void require(bool fits) {
    if (!fits) throw std::invalid_argument("sizes");
}

constexpr int64_t MOST_THREADS = 4096;
constexpr int64_t LARGEST_SIDE = 1 << 24;  // of a picture: beyond, float32 has not all whole numbers

// The product of sizes: of elements that can be counted, and shared out to threads, in 64 bits.
inline int64_t elements(std::initializer_list<int64_t> sizes) {
    constexpr int64_t MOST = INT64_MAX / (64 * MOST_THREADS);
    int64_t product = 1;
    for (const int64_t size : sizes)
        require(size >= 0 && size <= MOST && !__builtin_mul_overflow(product, size, &product) && product <= MOST);
    return product;
}

inline void require_threads(int64_t threads) { require(threads >= 1 && threads <= MOST_THREADS); }

}  // namespace mvgamba
