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

// What CTranslate2 gives tokens that it bans.
template <typename T>
__device__ T banned() {
    return T(-FLT_MAX);
}

template <typename T>
__global__ void ban(T* logits, int64_t width, const int32_t* tokens, int count) {
    for (int i = threadIdx.x; i < count; i += threads) logits[blockIdx.x * width + tokens[i]] = banned<T>();
}

template <typename T>
__device__ void ban_from_to(T* row, int32_t from, int32_t to) {
    for (int32_t i = from + threadIdx.x; i < to; i += threads) row[i] = banned<T>();
}

// Of all threads of a block, to all of them.
template <typename Combine>
__device__ float combined(float value, Combine combine) {
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
__device__ float largest(const T* row, int32_t from, int32_t to) {
    float most = -FLT_MAX;
    for (int32_t i = from + threadIdx.x; i < to; i += threads) most = fmaxf(most, float(row[i]));
    return combined(most, [](float a, float b) { return fmaxf(a, b); });
}

template <typename T>
__device__ float log_sum_exp(const T* row, int32_t from, int32_t to) {
    const float most = largest(row, from, to);
    float sum = 0;
    for (int32_t i = from + threadIdx.x; i < to; i += threads) sum += expf(float(row[i]) - most);
    return logf(combined(sum, [](float a, float b) { return a + b; })) + most;
}

// A block for each row.
template <typename T>
__global__ void allow(T* logits, int64_t width, Timestamps timestamps, const Allowed* rows) {
    T* row = logits + blockIdx.x * width;
    const Allowed allowed = rows[blockIdx.x];
    const int32_t end = timestamps.last + 1;
    ban_from_to(row, timestamps.none, timestamps.none + 1);
    ban_from_to(row, 0, allowed.text);
    ban_from_to(row, timestamps.first, min(allowed.first, end));
    ban_from_to(row, allowed.last + 1, end);
    if (!allowed.is_contest) return;
    __syncthreads();
    const float text = largest(row, 0, timestamps.first);
    if (log_sum_exp(row, timestamps.first, end) > text) ban_from_to(row, 0, timestamps.first);
}

// Calls `work` with the numbers of `logits` as they are on the card.
template <typename Work>
void with_numbers_of(StorageView& logits, Work work) {
    switch (logits.dtype()) {
    case DataType::FLOAT32: work(static_cast<float*>(logits.buffer())); break;
    case DataType::FLOAT16: work(static_cast<__half*>(logits.buffer())); break;
    case DataType::BFLOAT16: work(static_cast<__nv_bfloat16*>(logits.buffer())); break;
    default: throw std::invalid_argument("scores are no floats");
    }
    CUDA_CHECK(cudaGetLastError());
}

void ban_on_card(StorageView& logits, const std::vector<int32_t>& tokens) {
    const StorageView there({static_cast<dim_t>(tokens.size())}, tokens, Device::CUDA);
    const auto rows = static_cast<unsigned>(logits.dim(0));
    with_numbers_of(logits, [&](auto* numbers) {
        ban<<<rows, threads, 0, ctranslate2::cuda::get_cuda_stream()>>>(
            numbers, logits.dim(1), there.data<int32_t>(), static_cast<int>(tokens.size())
        );
    });
}

void allow_on_card(StorageView& logits, const Timestamps& timestamps, const std::vector<Allowed>& rows) {
    const auto* first = reinterpret_cast<const int32_t*>(rows.data());
    const std::vector<int32_t> numbers_of_rows(first, first + rows.size() * (sizeof(Allowed) / sizeof(int32_t)));
    const StorageView there({static_cast<dim_t>(numbers_of_rows.size())}, numbers_of_rows, Device::CUDA);
    with_numbers_of(logits, [&](auto* numbers) {
        allow<<<static_cast<unsigned>(rows.size()), threads, 0, ctranslate2::cuda::get_cuda_stream()>>>(
            numbers, logits.dim(1), timestamps, reinterpret_cast<const Allowed*>(there.data<int32_t>())
        );
    });
}

}  // namespace halkspeech
