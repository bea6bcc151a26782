#pragma once

#include <omp.h>

namespace halkspeech {

// Sets the number of OpenMP threads for parallel regions of this thread; restores the previous number when destroyed.
struct ThreadCountScope {
    int previous = omp_get_max_threads();
    explicit ThreadCountScope(int threads) { omp_set_num_threads(threads); }
    ~ThreadCountScope() { omp_set_num_threads(previous); }
};

}  // namespace halkspeech
