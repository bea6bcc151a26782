// Arrays on a GPU, for tests.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "cuda/memory.h"
#include "tests/features.h"

#include <cuda_fp16.h>

namespace test {

using halkspeech::cuda::DeviceBuffer;
using halkspeech::cuda::SharedStream;

inline std::mt19937 random_bits(11);
inline SharedStream stream;

inline std::vector<float> floats(int64_t count, float scale = 1) {
    std::normal_distribution<float> normal(0, scale);
    std::vector<float> values(static_cast<size_t>(count));
    for (float& value : values) value = normal(random_bits);
    return values;
}

// Rounded to 16 bits.
inline std::vector<float> halves(int64_t count, float scale = 1) {
    std::vector<float> values = floats(count, scale);
    for (float& value : values) value = __half2float(__float2half_rn(value));
    return values;
}

inline std::vector<__half> as_halves(const std::vector<float>& values) {
    std::vector<__half> converted;
    for (const float value : values) converted.push_back(__float2half_rn(value));
    return converted;
}

template <typename Number>
DeviceBuffer<Number> to_gpu(const std::vector<Number>& values) {
    DeviceBuffer<Number> buffer(stream, std::max<int64_t>(1, static_cast<int64_t>(values.size())));
    halkspeech::cuda::check(cudaMemcpyAsync(
        buffer.data(), values.data(), values.size() * sizeof(Number), cudaMemcpyHostToDevice, stream->get()
    ));
    stream->synchronize();
    return buffer;
}

template <typename Number>
std::vector<Number> from_gpu(const Number* values, int64_t count) {
    std::vector<Number> copy(static_cast<size_t>(count));
    halkspeech::cuda::check(
        cudaMemcpyAsync(copy.data(), values, copy.size() * sizeof(Number), cudaMemcpyDeviceToHost, stream->get())
    );
    stream->synchronize();
    return copy;
}

inline void near(
    const std::string& what, const std::vector<float>& found, const std::vector<double>& expected, double limit
) {
    double largest = found.size() == expected.size() ? 0 : std::numeric_limits<double>::infinity();
    for (size_t i = 0; i < expected.size() && i < found.size(); ++i) {
        const double difference = std::abs(found[i] - expected[i]) / std::max(1.0, std::abs(expected[i]));
        largest = std::max(largest, std::isnan(difference) ? std::numeric_limits<double>::infinity() : difference);
    }
    if (!(largest <= limit)) std::printf("%s: %g above %g\n", what.c_str(), largest, limit);
    expect(largest <= limit, what);
}

inline void near(const std::string& what, const std::vector<__half>& found, const std::vector<double>& expected) {
    std::vector<float> numbers;
    for (const __half half : found) numbers.push_back(__half2float(half));
    near(what, numbers, expected, 2e-3);
}

// Runs tests on a GPU; on a processor with the threads of a block in several orders.
template <typename Tests>
int run_tests(Tests tests) {
    stream = std::make_shared<halkspeech::cuda::Stream>(0);
#ifdef HALKSPEECH_HOST_CUDA
    for (const auto order : {host_cuda::Order::backward, host_cuda::Order::shuffled, host_cuda::Order::forward}) {
        host_cuda::set_order(order);
        tests();
    }
    expect(host_cuda::allocated_bytes() == 0, "all memory is freed");
#else
    tests();
#endif
    std::printf("%d failures\n", failures);
    return failures == 0 ? 0 : 1;
}

}  // namespace test
