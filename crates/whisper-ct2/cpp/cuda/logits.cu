#include "logits.h"

#include <cfloat>
#include <cmath>
#include <limits>
#include <stdexcept>

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda/utils.h>

using ctranslate2::DataType;
using ctranslate2::Device;
using ctranslate2::dim_t;
using ctranslate2::StorageView;

namespace halkspeech {

constexpr int threads = 256;

// The score that CTranslate2 gives suppressed tokens.
template <typename T>
__device__ T suppressed_score() {
    return T(-FLT_MAX);
}

// A block for each row.
template <typename T>
__global__ void suppress_kernel(T* logits, int64_t width, const int32_t* tokens, int count) {
    for (int i = threadIdx.x; i < count; i += threads) logits[blockIdx.x * width + tokens[i]] = suppressed_score<T>();
}

template <typename T>
__device__ void suppress_range(T* row, int32_t from, int32_t to) {
    for (int32_t i = from + threadIdx.x; i < to; i += threads) row[i] = suppressed_score<T>();
}

// Combines a value over all threads of a block; each of them gets the result.
template <typename Combine>
__device__ float combine_block(float value, Combine combine) {
    __shared__ float values[threads];
    values[threadIdx.x] = value;
    for (int step = threads / 2; step > 0; step /= 2) {
        __syncthreads();
        if (threadIdx.x < step) values[threadIdx.x] = combine(values[threadIdx.x], values[threadIdx.x + step]);
    }
    __syncthreads();
    const float all = values[0];
    __syncthreads();
    return all;
}

template <typename T>
__device__ float max_in_range(const T* row, int32_t from, int32_t to) {
    float max_score = -FLT_MAX;
    for (int32_t i = from + threadIdx.x; i < to; i += threads) max_score = fmaxf(max_score, float(row[i]));
    return combine_block(max_score, [](float a, float b) { return fmaxf(a, b); });
}

template <typename T>
__device__ float log_sum_exp(const T* row, int32_t from, int32_t to) {
    const float max_score = max_in_range(row, from, to);
    float sum = 0;
    for (int32_t i = from + threadIdx.x; i < to; i += threads) sum += expf(float(row[i]) - max_score);
    return logf(combine_block(sum, [](float a, float b) { return a + b; })) + max_score;
}

// A block for each row.
template <typename T>
__global__ void suppress_others_kernel(
    T* logits, int64_t width, Timestamps timestamps, const AllowedTokens* rows
) {
    T* row = logits + blockIdx.x * width;
    const AllowedTokens allowed = rows[blockIdx.x];
    const int32_t end = timestamps.last + 1;
    suppress_range(row, timestamps.none, timestamps.none + 1);
    suppress_range(row, 0, allowed.text);
    suppress_range(row, timestamps.first, min(allowed.first, end));
    suppress_range(row, allowed.last + 1, end);
    if (!allowed.is_contest) return;
    __syncthreads();
    const float text = max_in_range(row, 0, timestamps.first);
    if (log_sum_exp(row, timestamps.first, end) > text) suppress_range(row, 0, timestamps.first);
}

// Calls `work` with a typed pointer to the scores in GPU memory.
template <typename Work>
void dispatch_type(StorageView& logits, Work work) {
    switch (logits.dtype()) {
    case DataType::FLOAT32: work(static_cast<float*>(logits.buffer())); break;
    case DataType::FLOAT16: work(static_cast<__half*>(logits.buffer())); break;
    case DataType::BFLOAT16: work(static_cast<__nv_bfloat16*>(logits.buffer())); break;
    default: throw std::invalid_argument("the scores are not floats");
    }
    CUDA_CHECK(cudaGetLastError());
}

void suppress_on_gpu(StorageView& logits, const std::vector<int32_t>& tokens) {
    const StorageView gpu_tokens({static_cast<dim_t>(tokens.size())}, tokens, Device::CUDA);
    const auto rows = static_cast<unsigned>(logits.dim(0));
    dispatch_type(logits, [&](auto* scores) {
        suppress_kernel<<<rows, threads, 0, ctranslate2::cuda::get_cuda_stream()>>>(
            scores, logits.dim(1), gpu_tokens.data<int32_t>(), static_cast<int>(tokens.size())
        );
    });
}

void suppress_others_on_gpu(StorageView& logits, const Timestamps& timestamps, const std::vector<AllowedTokens>& rows) {
    const auto* first = reinterpret_cast<const int32_t*>(rows.data());
    const std::vector<int32_t> row_values(first, first + rows.size() * (sizeof(AllowedTokens) / sizeof(int32_t)));
    const StorageView gpu_rows({static_cast<dim_t>(row_values.size())}, row_values, Device::CUDA);
    const auto blocks = static_cast<unsigned>(rows.size());
    dispatch_type(logits, [&](auto* scores) {
        suppress_others_kernel<<<blocks, threads, 0, ctranslate2::cuda::get_cuda_stream()>>>(
            scores, logits.dim(1), timestamps, reinterpret_cast<const AllowedTokens*>(gpu_rows.data<int32_t>())
        );
    });
}

}  // namespace halkspeech
