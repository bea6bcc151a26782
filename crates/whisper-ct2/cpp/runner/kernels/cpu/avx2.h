#pragma once

#include <immintrin.h>

// For functions that are called only if `has_avx2()`.
#define AVX2 __attribute__((target("avx2,fma,f16c")))
#define UNROLL _Pragma("GCC unroll 8")

namespace halkspeech {

AVX2 inline __m256 broadcast(float value) { return _mm256_set1_ps(value); }

inline bool has_avx2() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}

}  // namespace halkspeech
