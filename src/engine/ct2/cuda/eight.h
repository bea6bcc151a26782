// Eight 16-bit floats of a card's memory, as floats.

#pragma once

#include <cuda_fp16.h>

namespace halkspeech {

constexpr int eight = 8;

struct Eight {
    float of[eight];
};

__device__ inline Eight unpack(const uint4& packed) {
    const auto* pairs = reinterpret_cast<const __half2*>(&packed);
    Eight numbers;
    for (int i = 0; i < eight / 2; ++i) {
        const float2 pair = __half22float2(pairs[i]);
        numbers.of[2 * i] = pair.x;
        numbers.of[2 * i + 1] = pair.y;
    }
    return numbers;
}

__device__ inline uint4 pack(const Eight& numbers) {
    uint4 packed;
    auto* pairs = reinterpret_cast<__half2*>(&packed);
    for (int i = 0; i < eight / 2; ++i) pairs[i] = __floats2half2_rn(numbers.of[2 * i], numbers.of[2 * i + 1]);
    return packed;
}

}  // namespace halkspeech
