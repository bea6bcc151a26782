// The kernels of the runner on a GPU, its products and its attention, against plain references. Compiled for a GPU, or
// with the folder host_cuda for a processor (build.sh), which has plain functions in the place of the libraries.
// usage: gpu_kernels

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "cuda/cell_pool.h"
#include "cuda/flash.h"
#include "cuda/kernels.h"
#include "cuda/products.h"
#include "tests/gpu_arrays.h"

using namespace halkspeech;
using test::as_halves;
using test::DeviceBuffer;
using test::expect;
using test::floats;
using test::from_gpu;
using test::halves;
using test::near;
using test::stream;
using test::to_gpu;

namespace {

int32_t narrow(int64_t number) { return static_cast<int32_t>(number); }

double gelu(double x) { return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))); }

void test_convolutions(int64_t mels, int64_t width, const std::vector<int64_t>& frames) {
    std::vector<cuda::WindowRows> windows;
    int64_t rows = 0, features = 0, largest = 0;
    for (const int64_t count : frames) {
        const int64_t own = (count + 3) / 2 * 2;
        windows.push_back({features, narrow(count), narrow(rows), narrow(own)});
        features += count * mels;
        rows += own;
        largest = std::max(largest, own);
    }
    const std::vector<float> values = halves(features), sums = floats(rows * width), bias = halves(width);
    auto on_gpu = to_gpu(values), sums_on_gpu = to_gpu(sums);
    auto windows_on_gpu = to_gpu(windows);
    auto bias_on_gpu = to_gpu(as_halves(bias));
    DeviceBuffer<__half> unfolded(stream, rows * 3 * mels), convolved(stream, (rows + 1) * width);
    const auto count = static_cast<int64_t>(windows.size());
    cuda::unfold_features(*stream, on_gpu.data(), windows_on_gpu.data(), count, largest, mels, unfolded.data());
    cuda::finish_first_convolution(
        *stream, sums_on_gpu.data(), bias_on_gpu.data(), windows_on_gpu.data(), count, largest, rows, width,
        convolved.data()
    );
    std::vector<double> expected, finished;
    for (const cuda::WindowRows& window : windows) {
        for (int64_t row = 0; row < window.rows; ++row) {
            const bool is_frame = row >= 1 && row <= window.frames;
            for (int64_t tap = 0; tap < 3; ++tap) {
                for (int64_t mel = 0; mel < mels; ++mel) {
                    const int64_t frame = row - 2 + tap;
                    const bool exists = is_frame && frame >= 0 && frame < window.frames;
                    const int64_t at = window.features + mel * window.frames + frame;
                    expected.push_back(exists ? values[static_cast<size_t>(at)] : 0);
                }
            }
            for (int64_t j = 0; j < width; ++j) {
                const size_t at = static_cast<size_t>((window.first_row + row) * width + j);
                finished.push_back(is_frame ? gelu(static_cast<double>(sums[at]) + bias[static_cast<size_t>(j)]) : 0);
            }
        }
    }
    finished.insert(finished.end(), static_cast<size_t>(width), 0);
    near("unfolded features", from_gpu(unfolded.data(), rows * 3 * mels), expected);
    near("first convolution", from_gpu(convolved.data(), (rows + 1) * width), finished);

    const std::vector<float> positions = floats(12 * width);
    const std::vector<cuda::EncoderRow> taken = {{0, 0}, {3, 11}, {3, 4}, {1, 1}};
    auto positions_on_gpu = to_gpu(positions);
    auto taken_on_gpu = to_gpu(taken);
    DeviceBuffer<__half> x(stream, 4 * width);
    cuda::finish_second_convolution(
        *stream, sums_on_gpu.data(), bias_on_gpu.data(), taken_on_gpu.data(), 4, positions_on_gpu.data(), width,
        x.data()
    );
    std::vector<double> rows_of_x;
    for (const cuda::EncoderRow& row : taken) {
        for (int64_t j = 0; j < width; ++j)
            rows_of_x.push_back(
                gelu(
                    static_cast<double>(sums[static_cast<size_t>(row.from * width + j)]) + bias[static_cast<size_t>(j)]
                )
                + positions[static_cast<size_t>(row.position * width + j)]
            );
    }
    near("second convolution", from_gpu(x.data(), 4 * width), rows_of_x);
}

void test_rows(int64_t rows, int64_t width) {
    const std::string size = " " + std::to_string(rows) + "x" + std::to_string(width);
    const std::vector<float> x = halves(rows * width, 3), gamma = halves(width), beta = halves(width);
    auto x_on_gpu = to_gpu(as_halves(x)), gamma_on_gpu = to_gpu(as_halves(gamma)),
         beta_on_gpu = to_gpu(as_halves(beta));
    DeviceBuffer<__half> y(stream, rows * width);
    cuda::layer_norm(*stream, {rows, width}, x_on_gpu.data(), gamma_on_gpu.data(), beta_on_gpu.data(), 1e-5f, y.data());
    std::vector<double> normed, activated;
    for (int64_t i = 0; i < rows; ++i) {
        const float* row = x.data() + i * width;
        const double mean = std::accumulate(row, row + width, 0.0) / static_cast<double>(width);
        double variance = 0;
        for (int64_t j = 0; j < width; ++j) variance += (row[j] - mean) * (row[j] - mean) / static_cast<double>(width);
        for (int64_t j = 0; j < width; ++j) {
            normed.push_back(
                (row[j] - mean) / std::sqrt(variance + 1e-5) * gamma[static_cast<size_t>(j)]
                + beta[static_cast<size_t>(j)]
            );
            activated.push_back(gelu(static_cast<double>(row[j]) + beta[static_cast<size_t>(j)]));
        }
    }
    near("layer norm" + size, from_gpu(y.data(), rows * width), normed);
    cuda::add_bias_and_gelu(*stream, {rows, width}, beta_on_gpu.data(), x_on_gpu.data());
    near("bias and gelu" + size, from_gpu(x_on_gpu.data(), rows * width), activated);
}

// softmax(scale * q * k^T) * v of one head in 64 bits.
std::vector<double> attention(
    const float* query, const std::vector<const float*>& keys, int64_t values, double scale,
    std::vector<double>* scores = nullptr
) {
    constexpr int64_t width = cuda::supported_head_width;
    std::vector<double> weights, output(width);
    for (const float* key : keys) {
        double sum = 0;
        for (int64_t p = 0; p < width; ++p) sum += static_cast<double>(query[p]) * key[p];
        weights.push_back(sum * scale);
    }
    if (scores != nullptr) scores->insert(scores->end(), weights.begin(), weights.end());
    const double largest = *std::max_element(weights.begin(), weights.end());
    double total = 0;
    for (double& weight : weights) total += weight = std::exp(weight - largest);
    for (size_t t = 0; t < keys.size(); ++t) {
        for (int64_t p = 0; p < width; ++p) output[static_cast<size_t>(p)] += weights[t] / total * keys[t][values + p];
    }
    return output;
}

// Rows whose cells lie in several chunks; a prompt and steps behind it.
void test_cells(int64_t heads, int64_t layers) {
    const int64_t width = heads * cuda::supported_head_width;
    cuda::CellPool pool(stream, layers, width);
    struct Row {
        std::vector<int32_t> cells;
        std::vector<float> projected;
    };
    // Takes nearly all of the first chunk, so that a slot's blocks lie in two.
    std::vector<int32_t> others;
    const int64_t chunk_cells = [&] {
        others.push_back(pool.take());
        int64_t cells = 16;
        while (pool.chunks().size() == 1) {
            others.push_back(pool.take());
            cells += 16;
        }
        return cells - 16;
    }();
    expect(chunk_cells % 16 == 0, "cells of a chunk");
    pool.give_back(others.back());
    pool.give_back(others.front());
    const std::vector<int32_t> blocks = {pool.take(), pool.take()};
    expect(blocks[0] / (chunk_cells / 16) != blocks[1] / (chunk_cells / 16), "blocks of two chunks");
    std::vector<Row> rows;
    const auto cell = [&](int32_t number) { return blocks[static_cast<size_t>(number / 16)] * 16 + number % 16; };
    // Five tokens of a prompt, then two hypotheses that share it; the second cell of a later block.
    for (int32_t i = 0; i < 20; ++i) {
        std::vector<int32_t> cells;
        for (int32_t t = 0; t <= i; ++t) cells.push_back(cell(t));
        rows.push_back({cells, halves(3 * width)});
    }
    std::vector<int32_t> fork(rows[4].cells);
    fork.push_back(cell(31));
    rows.push_back({fork, halves(3 * width)});
    for (int64_t layer = 0; layer < layers; ++layer) {
        std::vector<cuda::RowInput> inputs;
        std::vector<int32_t> cells;
        std::vector<float> projected;
        int64_t longest = 0;
        for (const Row& row : rows) {
            const auto length = static_cast<int32_t>(row.cells.size());
            inputs.push_back({0, length - 1, row.cells.back(), length, static_cast<int64_t>(cells.size())});
            cells.insert(cells.end(), row.cells.begin(), row.cells.end());
            projected.insert(projected.end(), row.projected.begin(), row.projected.end());
            longest = std::max<int64_t>(longest, length);
        }
        auto inputs_on_gpu = to_gpu(inputs);
        auto cells_on_gpu = to_gpu(cells);
        auto projected_on_gpu = to_gpu(as_halves(projected));
        auto chunks_on_gpu = to_gpu(pool.chunks());
        const auto count = static_cast<int64_t>(rows.size());
        const cuda::DecoderRows all = {inputs_on_gpu.data(), cells_on_gpu.data(), count, longest};
        const cuda::CellMemory memory = pool.memory(chunks_on_gpu.data());
        DeviceBuffer<__half> context(stream, count * width);
        cuda::store_keys_values(*stream, all, projected_on_gpu.data(), memory, layer, width);
        cuda::attend_to_cells(*stream, all, projected_on_gpu.data(), memory, layer, heads, 0.125f, context.data());
        std::vector<double> expected;
        for (const Row& row : rows) {
            for (int64_t head = 0; head < heads; ++head) {
                std::vector<const float*> keys;
                for (const int32_t of : row.cells) {
                    const auto owner = std::find_if(rows.begin(), rows.end(), [&](const Row& other) {
                        return other.cells.back() == of;
                    });
                    keys.push_back(owner->projected.data() + width + head * cuda::supported_head_width);
                }
                const auto one =
                    attention(row.projected.data() + head * cuda::supported_head_width, keys, width, 0.125);
                expected.insert(expected.end(), one.begin(), one.end());
            }
        }
        near("attention to cells, layer " + std::to_string(layer), from_gpu(context.data(), count * width), expected);
    }
    for (const int32_t block : blocks) pool.give_back(block);
    for (size_t i = 1; i + 1 < others.size(); ++i) pool.give_back(others[i]);
    expect(pool.chunks().size() == 1, "an empty pool keeps one chunk");
}

void test_encodings(int64_t heads, const std::vector<int64_t>& lengths) {
    const int64_t width = heads * cuda::supported_head_width, layers = 2, longest = lengths.back();
    std::vector<std::vector<float>> encodings;
    std::vector<DeviceBuffer<__half>> on_gpu;
    for (const int64_t length : lengths) {
        encodings.push_back(halves(layers * length * 2 * width));
        on_gpu.push_back(to_gpu(as_halves(encodings.back())));
    }
    for (int count = 1; count <= cuda::max_group; ++count) {
        const int64_t rows = 3 * count;
        const std::vector<float> queries = halves(rows * width, 2);
        auto queries_on_gpu = to_gpu(as_halves(queries));
        std::vector<cuda::QueryGroup> groups;
        for (size_t i = 0; i < lengths.size(); ++i)
            groups.push_back({on_gpu[i].data(), static_cast<int32_t>(lengths[i]), static_cast<int32_t>(i) * count});
        auto groups_on_gpu = to_gpu(groups);
        DeviceBuffer<__half> context(stream, rows * width);
        DeviceBuffer<float> scores(stream, count * lengths[1]);
        cuda::attend_to_encodings(
            *stream, groups_on_gpu.data(), 3, count, longest, queries_on_gpu.data(), 1, heads, 0.125f, context.data()
        );
        const int64_t of_layer = lengths[1] * 2 * width;
        cuda::score_head(
            *stream, count, queries_on_gpu.data() + count * width, on_gpu[1].data() + of_layer, lengths[1], heads, 2,
            0.125f, scores.data()
        );
        std::vector<double> expected, expected_scores;
        for (int64_t row = 0; row < rows; ++row) {
            const auto i = static_cast<size_t>(row / count);
            for (int64_t head = 0; head < heads; ++head) {
                std::vector<const float*> keys;
                const float* first = encodings[i].data() + lengths[i] * 2 * width + head * cuda::supported_head_width;
                for (int64_t t = 0; t < lengths[i]; ++t) keys.push_back(first + t * 2 * width);
                const float* query = queries.data() + row * width + head * cuda::supported_head_width;
                const auto one = attention(query, keys, width, 0.125, i == 1 && head == 2 ? &expected_scores : nullptr);
                expected.insert(expected.end(), one.begin(), one.end());
            }
        }
        const std::string what = "attention of " + std::to_string(count) + " rows to encodings";
        near(what, from_gpu(context.data(), rows * width), expected);
        near(what + ": scores", from_gpu(scores.data(), count * lengths[1]), expected_scores, 1e-4);
    }
}

void test_embedding() {
    const int64_t width = 40;
    const std::vector<float> table = halves(7 * width), positions = floats(9 * width);
    auto table_on_gpu = to_gpu(as_halves(table));
    auto positions_on_gpu = to_gpu(positions);
    const std::vector<cuda::RowInput> rows = {{6, 8, 0, 9, 0}, {0, 0, 0, 1, 0}, {3, 4, 0, 5, 0}};
    auto rows_on_gpu = to_gpu(rows);
    DeviceBuffer<__half> x(stream, 3 * width);
    cuda::embed(
        *stream, {rows_on_gpu.data(), nullptr, 3, 9}, table_on_gpu.data(), 2.5f, positions_on_gpu.data(), width,
        x.data()
    );
    std::vector<double> expected;
    for (const cuda::RowInput& row : rows) {
        for (int64_t j = 0; j < width; ++j)
            expected.push_back(
                2.5 * table[static_cast<size_t>(row.token * width + j)]
                + positions[static_cast<size_t>(row.position * width + j)]
            );
    }
    near("embedding", from_gpu(x.data(), 3 * width), expected);
}

// Sums of 16-bit floats would stop at 2,048.
void test_sums() {
    cuda::Products products(stream);
    for (const int64_t rows : {1, 8, 300}) {
        for (const int64_t width : {8192, 240}) {
            const int64_t outputs = 256;
            auto ones = to_gpu(as_halves(std::vector<float>(static_cast<size_t>(rows * width), 1)));
            auto weights = to_gpu(as_halves(std::vector<float>(static_cast<size_t>(outputs * width), 1)));
            auto bias = to_gpu(as_halves(std::vector<float>(static_cast<size_t>(outputs), 3)));
            DeviceBuffer<__half> y(stream, rows * outputs);
            DeviceBuffer<float> sums(stream, rows * outputs);
            cuda::Product product = {rows, outputs, width, ones.data(), width, weights.data(), width};
            product.output = y.data();
            products.multiply(product);
            product.bias = bias.data();
            product.residual = y.data();
            products.multiply(product);
            product = {rows, outputs, width, ones.data(), width, weights.data(), width};
            product.sums = sums.data();
            products.multiply(product);
            product.adds = true;
            products.multiply(product);
            const auto count = static_cast<size_t>(rows * outputs);
            const double sum = static_cast<double>(width);
            const std::string what = "product of " + std::to_string(rows) + " x " + std::to_string(width);
            near(what, from_gpu(y.data(), rows * outputs), std::vector<double>(count, 2 * sum + 3));
            near(what + ": sums", from_gpu(sums.data(), rows * outputs), std::vector<double>(count, 2 * sum), 0);
        }
    }
}

void test_products(int64_t rows, int64_t outputs, int64_t width) {
    cuda::Products products(stream);
    const std::vector<float> x = halves(rows * width), w = halves(outputs * width, 0.1f), bias = halves(outputs);
    auto x_on_gpu = to_gpu(as_halves(x)), w_on_gpu = to_gpu(as_halves(w)), bias_on_gpu = to_gpu(as_halves(bias));
    DeviceBuffer<__half> y(stream, rows * outputs);
    cuda::Product product = {rows, outputs, width, x_on_gpu.data(), width, w_on_gpu.data(), width};
    product.output = y.data();
    product.bias = bias_on_gpu.data();
    products.multiply(product);
    std::vector<double> expected;
    for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = 0; j < outputs; ++j) {
            double sum = bias[static_cast<size_t>(j)];
            for (int64_t p = 0; p < width; ++p)
                sum +=
                    static_cast<double>(x[static_cast<size_t>(i * width + p)]) * w[static_cast<size_t>(j * width + p)];
            expected.push_back(sum);
        }
    }
    near("product", from_gpu(y.data(), rows * outputs), expected);
}

void test_window_attention(int64_t time) {
    const int64_t heads = 2, width = heads * cuda::supported_head_width;
    const std::vector<float> projected = halves(time * 3 * width, 1.5f);
    auto on_gpu = to_gpu(as_halves(projected));
    DeviceBuffer<__half> output(stream, time * width);
    DeviceBuffer<float> workspace(stream, time * heads);
    cudaDeviceProp properties;
    cuda::check(cudaGetDeviceProperties(&properties, 0));
    const cuda::WindowAttention window = {time, heads, 0.125f, on_gpu.data(), output.data(), workspace.data()};
    if (properties.major == 9)
        cuda::start_flash_attention_sm90(*stream, window);
    else
        cuda::start_flash_attention(*stream, window);
    std::vector<double> expected;
    for (int64_t t = 0; t < time; ++t) {
        for (int64_t head = 0; head < heads; ++head) {
            std::vector<const float*> keys;
            for (int64_t other = 0; other < time; ++other)
                keys.push_back(projected.data() + (other * 3 + 1) * width + head * cuda::supported_head_width);
            const auto one =
                attention(projected.data() + t * 3 * width + head * cuda::supported_head_width, keys, width, 0.125);
            expected.insert(expected.end(), one.begin(), one.end());
        }
    }
    near("attention to a window of " + std::to_string(time), from_gpu(output.data(), time * width), expected);
}

}  // namespace

int main() {
    return test::run_tests([] {
        test_convolutions(8, 24, {1, 2, 5, 10});
        test_convolutions(128, 1280, {1, 20});
        test_rows(1, 384);
        test_rows(13, 512);
        test_rows(9, 1280);
        test_embedding();
        test_cells(2, 3);
        test_cells(20, 4);
        test_encodings(3, {1, 33, 700});
        // The most positions, whose scores nearly fill a block's shared memory.
        test_encodings(20, {1, 2, 1500});
        test_sums();
        test_products(5, 40, 64);
        test_products(64, 384, 240);
        for (const int64_t time : {1, 63, 128, 129, 200}) test_window_attention(time);
#ifndef HALKSPEECH_HOST_CUDA
        // The products and the attention of large-v3 and turbo; on a processor they are plain functions.
        for (const int64_t rows : {8, 200}) test_products(rows, 1280, 5120);
        test_products(8, 3840, 1280);
        test_products(8, 51872, 1280);
        test_window_attention(1500);
#endif
    });
}
