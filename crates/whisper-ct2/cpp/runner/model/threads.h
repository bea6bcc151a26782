#pragma once

#include <omp.h>

#include <atomic>
#include <cstdint>
#include <new>

namespace halkspeech {

// Sets the number of OpenMP threads for parallel regions of this thread; restores the previous number when destroyed.
struct ThreadCountScope {
    int previous = omp_get_max_threads();
    explicit ThreadCountScope(int threads) { omp_set_num_threads(threads); }
    ~ThreadCountScope() { omp_set_num_threads(previous); }
};

// Calls `work(i, thread)` for i below `count`. It may throw `std::bad_alloc` only.
template <typename Work>
void parallel_for(int64_t count, Work work) {
    if (omp_get_max_threads() <= 1 || count < 2) {
        for (int64_t i = 0; i < count; ++i) work(i, 0);
        return;
    }
    // An exception must not leave a thread of OpenMP.
    std::atomic<bool> failed{false};
    #pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < count; ++i) {
        try {
            work(i, omp_get_thread_num());
        } catch (const std::bad_alloc&) {
            failed = true;
        }
    }
    if (failed) throw std::bad_alloc();
}

}  // namespace halkspeech
