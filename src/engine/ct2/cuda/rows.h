// Layer norm and biases of 16-bit floats on a card, eight numbers at a time. Each runs on CTranslate2's stream of this
// thread, and throws std::runtime_error with what CUDA says.

#pragma once

#include <cstdint>

namespace halkspeech {

// Rows that are multiples of 8 wide.
struct Rows {
    int64_t count, width;
};

// The widest row that `normalize` takes: that of the largest Whisper is 1280 wide.
constexpr int64_t widest_normalized = 1536;

// (https://arxiv.org/abs/1607.06450). `output` may be `input`.
void normalize(Rows rows, const void* input, const void* gamma, const void* beta, float epsilon, void* output);

enum class Behind { nothing, gelu, residual };

// The sum of each row and the bias, and then its GELU, or the sum with a row of `residual` too. `output` may be any of
// the others.
void add_bias(Rows rows, const void* input, const void* bias, Behind behind, const void* residual, void* output);

}  // namespace halkspeech
