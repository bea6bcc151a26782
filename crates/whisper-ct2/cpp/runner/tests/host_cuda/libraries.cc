// In the place of cuBLASLt and FlashAttention: plain products and attention with 32-bit sums.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <utility>
#include <vector>

#include "cuda/flash.h"
#include "cuda/memory.h"
#include "cuda/products.h"

namespace halkspeech::cuda {

struct Products::State {
    // Weights do not change: their columns as floats, [width, outputs].
    const std::vector<float>& columns_of(const Product& product) {
        std::vector<float>& columns = columns_[{product.weights, product.outputs, product.width}];
        if (!columns.empty()) return columns;
        columns.resize(static_cast<size_t>(product.outputs * product.width));
        for (int64_t j = 0; j < product.outputs; ++j) {
            for (int64_t p = 0; p < product.width; ++p)
                columns[static_cast<size_t>(p * product.outputs + j)] =
                    __half2float(product.weights[j * product.ld_weights + p]);
        }
        return columns;
    }

private:
    std::map<std::tuple<const __half*, int64_t, int64_t>, std::vector<float>> columns_;
};

Products::Products(SharedStream) : state_(std::make_unique<State>()) {}
Products::~Products() = default;

void Products::multiply(const Product& product) {
    const auto check_aligned = [](const void* pointer) {
        if (reinterpret_cast<uintptr_t>(pointer) % 256 == 0) return;
        std::fprintf(stderr, "a matrix is not aligned\n");
        std::abort();
    };
    for (const void* pointer : {static_cast<const void*>(product.input), static_cast<const void*>(product.weights),
                                static_cast<const void*>(product.output), static_cast<const void*>(product.sums),
                                static_cast<const void*>(product.bias), static_cast<const void*>(product.residual)})
        check_aligned(pointer);
    if (product.ld_input < product.width || product.ld_weights < product.width) {
        std::fprintf(stderr, "rows of a product overlap\n");
        std::abort();
    }
    const auto& columns = state_->columns_of(product);
    const int64_t n = product.outputs;
    std::vector<float> sums(static_cast<size_t>(n));
    for (int64_t i = 0; i < product.rows; ++i) {
        std::fill(sums.begin(), sums.end(), 0.0f);
        for (int64_t p = 0; p < product.width; ++p) {
            const float x = __half2float(product.input[i * product.ld_input + p]);
            const float* column = columns.data() + p * n;
            for (int64_t j = 0; j < n; ++j) sums[static_cast<size_t>(j)] += x * column[j];
        }
        for (int64_t j = 0; j < n; ++j) {
            float y = sums[static_cast<size_t>(j)];
            if (product.bias != nullptr) y += __half2float(product.bias[j]);
            if (product.residual != nullptr) y += __half2float(product.residual[i * n + j]);
            if (product.sums == nullptr)
                product.output[i * n + j] = __float2half_rn(y);
            else
                product.sums[i * n + j] = product.adds ? product.sums[i * n + j] + y : y;
        }
    }
}

void check_flash_attention(const Stream&) {}
void check_flash_attention_sm90(const Stream&) {}
void start_flash_attention_sm90(const Stream& stream, const WindowAttention& attention) {
    start_flash_attention(stream, attention);
}

void start_flash_attention(const Stream&, const WindowAttention& attention) {
    constexpr int64_t head_width = 64;
    const int64_t time = attention.time, width = attention.heads * head_width;
    std::vector<float> numbers(static_cast<size_t>(time * 3 * width)), weights(static_cast<size_t>(time));
    for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = __half2float(attention.projected[i]);
    const auto row = [&](int64_t t, int64_t part, int64_t head) {
        return numbers.data() + (t * 3 + part) * width + head * head_width;
    };
    for (int64_t head = 0; head < attention.heads; ++head) {
        for (int64_t i = 0; i < time; ++i) {
            float largest = -INFINITY, total = 0;
            for (int64_t t = 0; t < time; ++t) {
                float sum = 0;
                for (int64_t p = 0; p < head_width; ++p) sum += row(i, 0, head)[p] * row(t, 1, head)[p];
                weights[static_cast<size_t>(t)] = sum * attention.scale;
                largest = std::max(largest, sum * attention.scale);
            }
            for (float& weight : weights) total += weight = std::exp(weight - largest);
            float mixed[head_width] = {};
            for (int64_t t = 0; t < time; ++t) {
                for (int64_t p = 0; p < head_width; ++p)
                    mixed[p] += weights[static_cast<size_t>(t)] * row(t, 2, head)[p];
            }
            for (int64_t p = 0; p < head_width; ++p)
                attention.output[i * width + head * head_width + p] = __float2half_rn(mixed[p] / total);
        }
    }
}

}  // namespace halkspeech::cuda
