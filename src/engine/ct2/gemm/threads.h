#pragma once

#include <omp.h>

namespace halkspeech {

// What OpenMP gives a parallel region of this thread, as long as it lives.
struct Threads {
    int before = omp_get_max_threads();
    explicit Threads(int threads) { omp_set_num_threads(threads); }
    ~Threads() { omp_set_num_threads(before); }
};

}  // namespace halkspeech
