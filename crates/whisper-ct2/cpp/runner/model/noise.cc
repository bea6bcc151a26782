#include "noise.h"

#include <cstring>
#include <iterator>

namespace halkspeech {

namespace {

// The natural logarithm of a positive normal number within 2 units in the last place (Cephes' `logf`), in a fixed order
// of single operations.
float logarithm(float x) {
    constexpr float coefficients[] = {
        7.0376836e-2f, -1.151461e-1f, 1.1676999e-1f, -1.2420141e-1f, 1.4249323e-1f, -1.6668057e-1f, 2.0000715e-1f,
        -2.4999994e-1f, 3.333333e-1f,
    };
    // x = mantissa * 2^exponent, with the mantissa between the roots of 1/2 and 2.
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    int32_t exponent = static_cast<int32_t>(bits >> 23) - 126;
    bits = (bits & 0x007fffff) | 0x3f000000;
    float mantissa;
    std::memcpy(&mantissa, &bits, sizeof mantissa);
    if (mantissa < 0.70710678f) {
        exponent -= 1;
        mantissa += mantissa;
    }
    const auto power = static_cast<float>(exponent);
    const float m = mantissa - 1;
    const float square = m * m;
    float y = coefficients[0];
    for (size_t i = 1; i < std::size(coefficients); ++i) y = y * m + coefficients[i];
    y = y * m * square;
    // ln 2 in two parts, of which the first has few bits.
    y += power * -2.1219444e-4f;
    y -= 0.5f * square;
    return (m + y) + power * 0.6933594f;
}

// The finalizer of SplitMix64.
uint64_t mix(uint64_t bits) {
    bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9u;
    bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebu;
    return bits ^ (bits >> 31);
}

}  // namespace

float gumbel_noise(uint64_t key, uint32_t token) {
    const uint64_t bits = mix(key + (static_cast<uint64_t>(token) + 1) * 0x9e3779b97f4a7c15u);
    const float uniform = (static_cast<float>(bits >> 41) + 0.5f) * 0x1p-23f;
    return -logarithm(-logarithm(uniform));
}

}  // namespace halkspeech
