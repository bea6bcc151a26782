// Random numbers of a draw, computed from its key and the token: the same bits on every device. The definition, and the
// test numbers, are those of `search/random.rs`; a host compiler must not contract a product and a sum
// (-ffp-contract=off), and on a GPU the intrinsics below keep the compiler from it.

#pragma once

#include <cstdint>
#include <cstring>

#ifdef __CUDACC__
#define HALKSPEECH_HOST_DEVICE __host__ __device__
#else
#define HALKSPEECH_HOST_DEVICE
#endif

namespace halkspeech {

// Of the Gumbel distribution; above -2.83 and below this.
constexpr float max_gumbel_noise = 16.65f;

namespace noise {

HALKSPEECH_HOST_DEVICE inline float product(float a, float b) {
#ifdef __CUDA_ARCH__
    return __fmul_rn(a, b);
#else
    return a * b;
#endif
}

HALKSPEECH_HOST_DEVICE inline float sum(float a, float b) {
#ifdef __CUDA_ARCH__
    return __fadd_rn(a, b);
#else
    return a + b;
#endif
}

// The natural logarithm of a positive normal number within 2 units in the last place (Cephes' `logf`), in a fixed order
// of single operations.
HALKSPEECH_HOST_DEVICE inline float logarithm(float x) {
    constexpr int terms = 9;
    constexpr float coefficients[terms] = {
        7.0376836e-2f, -1.151461e-1f, 1.1676999e-1f, -1.2420141e-1f, 1.4249323e-1f, -1.6668057e-1f, 2.0000715e-1f,
        -2.4999994e-1f, 3.333333e-1f,
    };
    // x = mantissa * 2^exponent, with the mantissa between the roots of 1/2 and 2.
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    int32_t exponent = static_cast<int32_t>(bits >> 23) - 126;
    bits = (bits & 0x007fffff) | 0x3f000000;
    float mantissa;
    memcpy(&mantissa, &bits, sizeof mantissa);
    if (mantissa < 0.70710678f) {
        exponent -= 1;
        mantissa = sum(mantissa, mantissa);
    }
    const auto power = static_cast<float>(exponent);
    const float m = sum(mantissa, -1);
    const float square = product(m, m);
    float y = coefficients[0];
    for (int i = 1; i < terms; ++i) y = sum(product(y, m), coefficients[i]);
    y = product(product(y, m), square);
    // ln 2 in two parts, of which the first has few bits.
    y = sum(y, product(power, -2.1219444e-4f));
    y = sum(y, -product(0.5f, square));
    return sum(sum(m, y), product(power, 0.6933594f));
}

// The finalizer of SplitMix64.
HALKSPEECH_HOST_DEVICE inline uint64_t mix(uint64_t bits) {
    bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9u;
    bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebu;
    return bits ^ (bits >> 31);
}

}  // namespace noise

HALKSPEECH_HOST_DEVICE inline float gumbel_noise(uint64_t key, uint32_t token) {
    const uint64_t bits = noise::mix(key + (static_cast<uint64_t>(token) + 1) * 0x9e3779b97f4a7c15u);
    const float uniform = noise::product(noise::sum(static_cast<float>(bits >> 41), 0.5f), 0x1p-23f);
    return -noise::logarithm(-noise::logarithm(uniform));
}

}  // namespace halkspeech
