// Parallel regions whose work may throw. No exception may leave one: the first is kept, and thrown again after it.
#pragma once
#include <atomic>
#include <cstdint>
#include <exception>

namespace mvgamba {

class Failure {
  public:
    // Runs body(). To be called by the threads of a region.
    template <class Body>
    void guard(const Body& body) noexcept {
        try {
            body();
        } catch (...) {
            if (!some_.exchange(true)) first_ = std::current_exception();
        }
    }
    // After the region: throws what was kept.
    void rethrow() const {
        if (first_) std::rethrow_exception(first_);
    }

  private:
    std::atomic<bool> some_{false};
    std::exception_ptr first_;
};

// body(0) ... body(threads - 1), one for each thread.
template <class Body>
void each_thread(int64_t threads, const Body& body) {
    Failure failure;
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int64_t i = 0; i < threads; i++) failure.guard([&] { body(i); });
    failure.rethrow();
}

// body(0) ... body(count - 1), whichever thread is free taking the next.
template <class Body>
void each_task(int64_t count, int64_t threads, const Body& body) {
    Failure failure;
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads) if (threads > 1 && count > 1)
    for (int64_t i = 0; i < count; i++) failure.guard([&] { body(i); });
    failure.rethrow();
}

}  // namespace mvgamba
