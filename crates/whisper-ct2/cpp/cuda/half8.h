// Eight 16-bit floats (16 bytes of GPU memory), converted to 32-bit floats and back.

#pragma once

#include <cuda_fp16.h>

namespace halkspeech {

constexpr int half8_width = 8;

struct Float8 {
    float values[half8_width];
};

__device__ inline Float8 unpack_half8(const uint4& packed) {
    const auto* pairs = reinterpret_cast<const __half2*>(&packed);
    Float8 vector;
    for (int i = 0; i < half8_width / 2; ++i) {
        const float2 pair = __half22float2(pairs[i]);
        vector.values[2 * i] = pair.x;
        vector.values[2 * i + 1] = pair.y;
    }
    return vector;
}

__device__ inline uint4 pack_half8(const Float8& vector) {
    uint4 packed;
    auto* pairs = reinterpret_cast<__half2*>(&packed);
    for (int i = 0; i < half8_width / 2; ++i)
        pairs[i] = __floats2half2_rn(vector.values[2 * i], vector.values[2 * i + 1]);
    return packed;
}

}  // namespace halkspeech
