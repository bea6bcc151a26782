// Every kernel of every table that this processor runs against a plain reference in 64 bits; and each row of a product
// bit for bit what it is alone, on any number of threads.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "model/threads.h"
#include "tests/features.h"

using namespace halkspeech;
using test::expect;

namespace {

std::mt19937 random_bits(7);

std::vector<float> floats(int64_t count, float scale = 1) {
    std::normal_distribution<float> normal(0, scale);
    std::vector<float> values(static_cast<size_t>(count));
    for (float& value : values) value = normal(random_bits);
    return values;
}

double gelu(double x) { return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))); }

void near(const std::string& what, const std::vector<float>& found, const std::vector<double>& expected, double limit) {
    double largest = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
        const double difference = std::abs(found[i] - expected[i]);
        largest = std::max(largest, std::isnan(difference) ? std::numeric_limits<double>::infinity() : difference);
    }
    if (!(largest <= limit)) std::printf("%s: %g above %g\n", what.c_str(), largest, limit);
    expect(largest <= limit, what);
}

struct Shape {
    int64_t m, n, k;
};
const Shape shapes[] = {{1, 1, 1},     {1, 51, 64},   {5, 33, 80},    {7, 64, 63},
                        {13, 96, 240}, {16, 31, 100}, {40, 130, 384}, {64, 48, 513}};

struct Ending {
    bool bias, gelu, residual;
};
const Ending endings[] = {{false, false, false}, {true, false, false}, {true, true, false}, {true, false, true}};

using Multiply = std::function<void(const Rows& x, const Epilogue& y)>;

// Rows alone, all rows, and all rows on two threads.
void test_rows(
    const std::string& what, const Shape& shape, const Ending& ending, const std::vector<float>& x,
    const std::vector<double>& products, const Multiply& multiply, double limit
) {
    const auto& [m, n, k] = shape;
    const std::vector<float> bias = floats(n), residual = floats(m * n);
    std::vector<double> expected = products;
    for (int64_t i = 0; i < m * n; ++i) {
        double& value = expected[static_cast<size_t>(i)];
        if (ending.bias) value += bias[static_cast<size_t>(i % n)];
        if (ending.gelu) value = gelu(value);
        if (ending.residual) value += residual[static_cast<size_t>(i)];
    }
    const auto run = [&](int threads, bool alone, bool in_place) {
        const ThreadCountScope scope(threads);
        std::vector<float> y = in_place ? residual : floats(m * n);
        const int64_t step = alone ? 1 : m;
        for (int64_t i = 0; i < m; i += step) {
            const float* added = in_place ? y.data() + i * n : residual.data() + i * n;
            multiply(
                {step, k, x.data() + i * k, k},
                {ending.bias ? bias.data() : nullptr, ending.gelu, ending.residual ? added : nullptr, y.data() + i * n,
                 n}
            );
        }
        return y;
    };
    const std::vector<float> all = run(1, false, false);
    near(what, all, expected, limit);
    expect(all == run(1, true, false), what + ": rows alone");
    expect(all == run(2, false, false), what + ": two threads");
    if (ending.residual) expect(all == run(1, false, true), what + ": in place");
}

std::string name_of(const Kernels& table, const char* kernel, const Shape& shape) {
    return std::string(table.name) + " " + kernel + " " + std::to_string(shape.m) + "x" + std::to_string(shape.n) + "x"
        + std::to_string(shape.k);
}

void test_float_products(const Kernels& table, const Shape& shape) {
    const auto& [m, n, k] = shape;
    const std::vector<float> x = floats(m * k), w = floats(n * k, 0.1f);
    std::vector<double> products(static_cast<size_t>(m * n));
    for (int64_t i = 0; i < m; ++i)
        for (int64_t j = 0; j < n; ++j)
            for (int64_t p = 0; p < k; ++p)
                products[static_cast<size_t>(i * n + j)] +=
                    static_cast<double>(x[static_cast<size_t>(i * k + p)]) * w[static_cast<size_t>(j * k + p)];
    std::vector<float> packed(static_cast<size_t>(table.floats.packed_size(n, k)));
    table.floats.pack(n, k, w.data(), packed.data());
    std::vector<float> row(static_cast<size_t>(k));
    for (const int64_t j : {int64_t{0}, n / 2, n - 1}) {
        table.floats.unpack_row(k, packed.data(), j, row.data());
        expect(std::equal(row.begin(), row.end(), w.begin() + j * k), name_of(table, "row of floats", shape));
    }
    for (const Ending& ending : endings)
        test_rows(
            name_of(table, "floats", shape), shape, ending, x, products,
            [&](const Rows& rows, const Epilogue& y) { multiply_floats(table, n, rows, packed.data(), y); }, 1e-4
        );
}

// `largest` is that of the weights; activations have outliers, which AVX2's products split off.
void test_int8_products(const Kernels& table, const Shape& shape, bool round, int largest) {
    const auto& [m, n, k] = shape;
    std::vector<float> x = floats(m * k);
    for (size_t i = 0; i < x.size(); i += 97) x[i] *= 20;
    for (int64_t p = 0; p < k; ++p) x[static_cast<size_t>(p)] = p % 3 == 0 ? -1.0f : 1.0f;
    std::uniform_int_distribution<int> bytes(-largest, largest);
    std::vector<int8_t> w(static_cast<size_t>(n * k));
    for (int8_t& value : w)
        value = static_cast<int8_t>(
            largest == 127 && k % 2 == 0 ? (bytes(random_bits) > 0 ? 127 : -127) : bytes(random_bits)
        );
    std::vector<float> scales(static_cast<size_t>(n));
    for (float& scale : scales) scale = 100 + std::abs(floats(1)[0]) * 50;
    std::vector<double> products(static_cast<size_t>(m * n));
    for (int64_t i = 0; i < m; ++i) {
        float largest_input = 0;
        for (int64_t p = 0; p < k; ++p)
            largest_input = std::max(largest_input, std::abs(x[static_cast<size_t>(i * k + p)]));
        const float scale = largest_input == 0 ? 1 : 127 / largest_input;
        for (int64_t j = 0; j < n; ++j) {
            int64_t sum = 0;
            for (int64_t p = 0; p < k; ++p) {
                const float scaled = x[static_cast<size_t>(i * k + p)] * scale;
                sum += static_cast<int64_t>(round ? std::nearbyint(scaled) : std::trunc(scaled))
                    * w[static_cast<size_t>(j * k + p)];
            }
            products[static_cast<size_t>(i * n + j)] =
                static_cast<double>(sum) / scale / scales[static_cast<size_t>(j)];
        }
    }
    std::vector<int8_t> packed(static_cast<size_t>(table.int8.packed_size(n, k)));
    table.int8.pack(n, k, w.data(), packed.data());
    std::vector<int8_t> row(static_cast<size_t>(k));
    for (const int64_t j : {int64_t{0}, n / 2, n - 1}) {
        table.int8.unpack_row(k, packed.data(), j, row.data());
        expect(std::equal(row.begin(), row.end(), w.begin() + j * k), name_of(table, "row of int8", shape));
    }
    double largest_product = 1;
    for (const double product : products) largest_product = std::max(largest_product, std::abs(product));
    for (const Ending& ending : endings)
        test_rows(
            name_of(table, "int8", shape), shape, ending, x, products,
            [&](const Rows& rows, const Epilogue& y) {
                table.int8.multiply(n, rows, round, packed.data(), scales.data(), y);
            },
            1e-6 * largest_product + 1e-6
        );
}

// softmax(scale * Q K^T) V
std::vector<double> attention(
    int64_t m, int64_t n, int64_t width, float scale, const float* q, const float* keys, const float* values, int64_t ld
) {
    std::vector<double> output(static_cast<size_t>(m * width));
    for (int64_t i = 0; i < m; ++i) {
        std::vector<double> weights;
        for (int64_t j = 0; j < n; ++j) {
            double sum = 0;
            for (int64_t p = 0; p < width; ++p) sum += static_cast<double>(q[i * width + p]) * keys[j * ld + p];
            weights.push_back(sum * scale);
        }
        const double largest = *std::max_element(weights.begin(), weights.end());
        double total = 0;
        for (double& weight : weights) total += weight = std::exp(weight - largest);
        for (int64_t p = 0; p < width; ++p)
            for (int64_t j = 0; j < n; ++j)
                output[static_cast<size_t>(i * width + p)] +=
                    weights[static_cast<size_t>(j)] / total * values[j * ld + p];
    }
    return output;
}

template <typename Number>
void test_attention(
    const Kernels& table, const HeadAttention<Number>& head, int64_t m, int64_t n, int64_t width, double limit
) {
    const std::string what = name_of(table, sizeof(Number) == 2 ? "half attention" : "attention", {m, n, width});
    const int64_t ld = 2 * width + 3;
    const std::vector<float> q = floats(m * width, 2), kv = floats(n * ld);
    std::vector<Number> packed(static_cast<size_t>(head.packed_size(n, width)));
    head.pack(n, width, kv.data(), kv.data() + width, ld, packed.data());
    std::vector<float> workspace(static_cast<size_t>(head.workspace_size(n))), output(static_cast<size_t>(m * width)),
        alone(output.size());
    head.attend(m, n, width, 0.125f, q.data(), width, packed.data(), output.data(), width, workspace.data());
    near(what, output, attention(m, n, width, 0.125f, q.data(), kv.data(), kv.data() + width, ld), limit);
    for (int64_t i = 0; i < m; ++i)
        head.attend(
            1, n, width, 0.125f, q.data() + i * width, width, packed.data(), alone.data() + i * width, width,
            workspace.data()
        );
    expect(alone == output, what + ": rows alone");
    std::vector<float> scores(static_cast<size_t>(n));
    std::vector<double> expected(static_cast<size_t>(n));
    head.scores(n, width, q.data(), packed.data(), scores.data());
    for (int64_t j = 0; j < n; ++j)
        for (int64_t p = 0; p < width; ++p)
            expected[static_cast<size_t>(j)] +=
                static_cast<double>(q[static_cast<size_t>(p)]) * kv[static_cast<size_t>(j * ld + p)];
    near(what + ": scores", scores, expected, limit * 10);
}

void test_attend_to_rows(const Kernels& table, int64_t heads, int64_t n, int64_t width) {
    const std::string what = name_of(table, "attention to rows", {heads, n, width});
    const int64_t total = heads * width;
    const std::vector<float> q = floats(total, 2), kv = floats(n * 2 * total);
    std::vector<const float*> keys;
    for (int64_t i = 0; i < n; ++i) keys.push_back(kv.data() + i * 2 * total);
    std::vector<float> output(static_cast<size_t>(total)), workspace(static_cast<size_t>(n));
    table.attend_to_rows(n, heads, width, 0.125f, q.data(), keys.data(), total, output.data(), workspace.data());
    std::vector<double> expected;
    for (int64_t h = 0; h < heads; ++h) {
        const auto one = attention(
            1, n, width, 0.125f, q.data() + h * width, kv.data() + h * width, kv.data() + total + h * width, 2 * total
        );
        expected.insert(expected.end(), one.begin(), one.end());
    }
    near(what, output, expected, 1e-5);
}

void test_single_rows(const Kernels& table, int64_t n) {
    const std::string size = " " + std::to_string(n);
    const std::string name = table.name;
    const std::vector<float> x = floats(n, 3), gamma = floats(n), beta = floats(n);
    std::vector<float> y(static_cast<size_t>(n));
    table.layer_norm(n, x.data(), gamma.data(), beta.data(), 1e-5f, y.data());
    const double mean = std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(n);
    double variance = 0;
    for (const float value : x) variance += (value - mean) * (value - mean) / static_cast<double>(n);
    std::vector<double> expected(static_cast<size_t>(n));
    for (size_t i = 0; i < expected.size(); ++i)
        expected[i] = (x[i] - mean) / std::sqrt(variance + 1e-5) * gamma[i] + beta[i];
    near(name + " layer norm" + size, y, expected, 2e-5);

    expect(table.max(n, x.data()) == *std::max_element(x.begin(), x.end()), name + " max" + size);
    double sum = 0;
    for (const float value : x) sum += std::exp(static_cast<double>(value));
    near(name + " log-sum-exp" + size, {table.log_sum_exp(n, x.data())}, {std::log(sum)}, 1e-5);
    const std::vector<float> banned(static_cast<size_t>(n), -std::numeric_limits<float>::infinity());
    expect(table.log_sum_exp(n, banned.data()) == banned.front(), name + " log-sum-exp of nothing" + size);

    std::vector<float> activated = x;
    table.gelu(n, activated.data());
    for (size_t i = 0; i < expected.size(); ++i) expected[i] = gelu(x[i]);
    near(name + " gelu" + size, activated, expected, 2e-6);

    // With equal numbers.
    std::vector<float> coarse = x;
    for (float& value : coarse) value = std::round(value * 2);
    const int64_t k = std::min<int64_t>(n, 10);
    std::vector<float> values(static_cast<size_t>(k));
    std::vector<int32_t> ids(static_cast<size_t>(k)), order(static_cast<size_t>(n));
    table.top_k(k, n, coarse.data(), values.data(), ids.data());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
        return coarse[static_cast<size_t>(a)] > coarse[static_cast<size_t>(b)];
    });
    expect(std::equal(ids.begin(), ids.end(), order.begin()), name + " top k" + size);
}

}  // namespace

int main() {
    for (const Kernels* table : {generic_kernels(), avx2_kernels(), avx512_kernels()}) {
        if (table == nullptr) continue;
        std::printf("%s\n", table->name);
        for (const Shape& shape : shapes) {
            test_float_products(*table, shape);
            test_int8_products(*table, shape, true, 127);
            test_int8_products(*table, shape, false, 30);
        }
        for (const int64_t m : {1, 5, 25, 60}) {
            for (const int64_t n : {1, 31, 100}) {
                for (const int64_t width : {16, 24, 64}) {
                    test_attention(*table, table->attention, m, n, width, 2e-5);
                    test_attention(*table, table->half_attention, m, n, width, 1e-2);
                }
            }
        }
        for (const int64_t n : {1, 7, 16, 100}) {
            test_attend_to_rows(*table, 2, n, 64);
            test_attend_to_rows(*table, 3, n, 24);
        }
        for (const int64_t n : {1, 5, 16, 63, 512, 5000}) test_single_rows(*table, n);
    }
    std::printf("%d failures\n", test::failures);
    return test::failures == 0 ? 0 : 1;
}
