// Layer norm and bias of 16-bit floats on a GPU, in vectors of eight elements. Each function runs on CTranslate2's
// stream of this thread, and throws std::runtime_error with CUDA's message.

#pragma once

#include <cstdint>

namespace halkspeech {

// Number and width of rows; the width is a multiple of 8.
struct RowShape {
    int64_t count, width;
};

// Maximum width of a row in `layer_norm`; the largest Whisper has 1280.
constexpr int64_t max_layer_norm_width = 1536;

// Layer norm (https://arxiv.org/abs/1607.06450) of each row. `output` may be `input`.
void layer_norm(RowShape rows, const void* input, const void* gamma, const void* beta, float epsilon, void* output);

enum class BiasEpilogue { none, gelu, residual };

// Adds the bias to each row, then applies GELU or adds the row of `residual`. `output` may be any of the other arrays.
void add_bias(
    RowShape rows, const void* input, const void* bias, BiasEpilogue epilogue, const void* residual, void* output
);

}  // namespace halkspeech
