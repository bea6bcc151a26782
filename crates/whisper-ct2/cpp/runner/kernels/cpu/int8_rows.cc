#include "int8_rows.h"

#include <omp.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace halkspeech {

void multiply_int8(
    const Int8Panels& panels, int64_t n, const Rows& x, bool round, const int8_t* packed, const float* scales,
    const Epilogue& y
) {
    const auto round_up = [](int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; };
    const int64_t depth = round_up(x.k, panels.depth_multiple);
    const int64_t rows = round_up(x.m, int8_row_block);
    // The calling thread keeps its buffers; the references give the other threads access to them.
    thread_local std::vector<int8_t> thread_bytes;
    thread_local std::vector<float> thread_scales;
    thread_local std::vector<int32_t> thread_sums;
    auto& bytes = thread_bytes;
    auto& row_scales = thread_scales;
    auto& sums = thread_sums;
    bytes.resize(std::max(bytes.size(), static_cast<size_t>(rows * depth)));
    row_scales.resize(std::max(row_scales.size(), static_cast<size_t>(rows)));
    sums.resize(std::max(sums.size(), static_cast<size_t>(rows)));
    const bool parallel = omp_get_max_threads() > 1;
    #pragma omp parallel for schedule(static) if (parallel && x.m > 4)
    for (int64_t i = 0; i < x.m; ++i) {
        int8_t* q = bytes.data() + i * depth;
        row_scales[static_cast<size_t>(i)] = panels.quantize_row(x.k, x.x + i * x.ld, round, q);
        std::memset(q + x.k, 0, static_cast<size_t>(depth - x.k));
        int32_t sum = 0;
        for (int64_t p = 0; p < x.k; ++p) sum += q[p];
        sums[static_cast<size_t>(i)] = sum;
    }
    const Int8Rows quantized = {bytes.data(), x.m, depth, row_scales.data(), sums.data()};
    const int64_t count = round_up(n, panels.panel) / panels.panel;
    const int64_t at_once = std::clamp<int64_t>(count / omp_get_max_threads(), 1, 4);
    #pragma omp parallel for schedule(static) if (parallel)
    for (int64_t first = 0; first < count; first += at_once)
        panels.multiply(first, std::min(first + at_once, count), n, quantized, packed, scales, y);
}

void multiply_floats(
    const Kernels& kernels, int64_t n, const Rows& x, const float* packed, const Epilogue& y
) {
    const int64_t count = (n + kernels.floats.panel - 1) / kernels.floats.panel;
    const int64_t at_once = std::clamp<int64_t>(count / omp_get_max_threads(), 1, 4);
    #pragma omp parallel for schedule(static) if (omp_get_max_threads() > 1)
    for (int64_t first = 0; first < count; first += at_once)
        kernels.floats.multiply(first, std::min(first + at_once, count), n, x, packed, y);
}

}  // namespace halkspeech
