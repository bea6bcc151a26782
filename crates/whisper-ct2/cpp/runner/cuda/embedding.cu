// The decoder's input, and where its keys and values go.

#include "kernels.h"

namespace halkspeech::cuda {

namespace {

constexpr unsigned threads = 128;

// A block for each row.
__global__ void embed_kernel(
    const RowInput* rows, const __half* table, float scale, const float* positions, int64_t width, __half* x
) {
    const RowInput row = rows[blockIdx.x];
    const __half* embedding = table + row.token * width;
    const float* position = positions + row.position * width;
    for (int64_t j = threadIdx.x; j < width; j += blockDim.x)
        x[blockIdx.x * width + j] = __float2half_rn(__half2float(embedding[j]) * scale + position[j]);
}

// A block for each row; `width` is in vectors of 16 bytes.
__global__ void store_keys_values_kernel(
    const uint4* projected, const RowInput* rows, CellMemory memory, int64_t layer, int64_t width
) {
    auto* to = reinterpret_cast<uint4*>(memory.at(layer, rows[blockIdx.x].cell));
    const uint4* from = projected + blockIdx.x * 3 * width + width;
    for (int64_t i = threadIdx.x; i < 2 * width; i += blockDim.x) to[i] = from[i];
}

}  // namespace

void embed(
    const Stream& stream, const DecoderRows& rows, const __half* table, float scale, const float* positions,
    int64_t width, __half* x
) {
    launch(
        stream, {dim3(static_cast<unsigned>(rows.count)), threads}, embed_kernel, rows.inputs, table, scale, positions,
        width, x
    );
}

void store_keys_values(
    const Stream& stream, const DecoderRows& rows, const __half* projected, const CellMemory& memory, int64_t layer,
    int64_t width
) {
    launch(
        stream, {dim3(static_cast<unsigned>(rows.count)), threads}, store_keys_values_kernel,
        reinterpret_cast<const uint4*>(projected), rows.inputs, memory, layer, width / half8_width
    );
}

}  // namespace halkspeech::cuda
