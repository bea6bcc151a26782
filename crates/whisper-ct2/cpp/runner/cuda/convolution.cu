// The encoder's convolutions but for their products.

#include "kernels.h"

namespace halkspeech::cuda {

namespace {

constexpr unsigned threads = 128;

__device__ float gelu(float x) { return 0.5f * x * (1 + erff(0.7071067811865475f * x)); }

// A block for each row of each window.
__global__ void unfold_features_kernel(
    const float* features, const WindowRows* windows, int64_t mels, __half* rows
) {
    const WindowRows window = windows[blockIdx.y];
    const int64_t row = blockIdx.x, frames = window.frames;
    if (row >= window.rows) return;
    const bool is_frame = row >= 1 && row <= frames;
    __half* to = rows + (window.first_row + row) * 3 * mels;
    for (int64_t i = threadIdx.x; i < 3 * mels; i += blockDim.x) {
        const int64_t frame = row - 2 + i / mels, mel = i % mels;
        const bool exists = is_frame && frame >= 0 && frame < frames;
        to[i] = __float2half_rn(exists ? features[window.features + mel * frames + frame] : 0.0f);
    }
}

// A block for each row of each window, and one behind them.
__global__ void finish_first_convolution_kernel(
    const float* sums, const __half* bias, const WindowRows* windows, int64_t all_rows, int64_t width, __half* rows
) {
    const WindowRows window = windows[blockIdx.y];
    const int64_t row = blockIdx.x;
    const bool is_last = window.first_row + window.rows == all_rows;
    if (row >= window.rows + (is_last ? 1 : 0)) return;
    const bool is_frame = row >= 1 && row <= window.frames;
    const int64_t first = (window.first_row + row) * width;
    for (int64_t j = threadIdx.x; j < width; j += blockDim.x)
        rows[first + j] = __float2half_rn(is_frame ? gelu(sums[first + j] + __half2float(bias[j])) : 0.0f);
}

// A block for each row.
__global__ void finish_second_convolution_kernel(
    const float* sums, const __half* bias, const EncoderRow* rows, const float* positions, int64_t width, __half* x
) {
    const EncoderRow row = rows[blockIdx.x];
    const float* sum = sums + row.from * width;
    const float* position = positions + row.position * width;
    for (int64_t j = threadIdx.x; j < width; j += blockDim.x)
        x[blockIdx.x * width + j] = __float2half_rn(gelu(sum[j] + __half2float(bias[j])) + position[j]);
}

}  // namespace

void unfold_features(
    const Stream& stream, const float* features, const WindowRows* windows, int64_t window_count, int64_t max_rows,
    int64_t mels, __half* rows
) {
    const dim3 blocks(static_cast<unsigned>(max_rows), static_cast<unsigned>(window_count));
    launch(stream, {blocks, threads}, unfold_features_kernel, features, windows, mels, rows);
}

void finish_first_convolution(
    const Stream& stream, const float* sums, const __half* bias, const WindowRows* windows, int64_t window_count,
    int64_t max_rows, int64_t all_rows, int64_t width, __half* rows
) {
    const dim3 blocks(static_cast<unsigned>(max_rows + 1), static_cast<unsigned>(window_count));
    launch(stream, {blocks, threads}, finish_first_convolution_kernel, sums, bias, windows, all_rows, width, rows);
}

void finish_second_convolution(
    const Stream& stream, const float* sums, const __half* bias, const EncoderRow* rows, int64_t row_count,
    const float* positions, int64_t width, __half* x
) {
    launch(
        stream, {dim3(static_cast<unsigned>(row_count)), threads}, finish_second_convolution_kernel, sums, bias, rows,
        positions, width, x
    );
}

}  // namespace halkspeech::cuda
