// The kernels for processors with AVX2, FMA and F16C. Their 8-bit products are those of int8_avx2.cc.

#include "../kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include "int8_avx2.h"

namespace halkspeech {

namespace {

#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#define HALKSPEECH_LANES 8
#include "simd.h"
#include "products.inc"
#include "attention.inc"
#include "rows.inc"

#define HALKSPEECH_NAME "avx2"
#define HALKSPEECH_INT8 {int8_avx2_packed_size, pack_int8_avx2, unpack_int8_avx2, multiply_int8_avx2}
#include "table.inc"
#pragma GCC pop_options

bool is_supported() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}

}  // namespace

const Kernels* avx2_kernels() { return is_supported() ? &table : nullptr; }

}  // namespace halkspeech

#else

const halkspeech::Kernels* halkspeech::avx2_kernels() { return nullptr; }

#endif
