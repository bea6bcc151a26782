// The kernels of the runner on a GPU against plain references and the functions of a CPU. Compiled for a GPU, or with
// the folder host_cuda for a processor (build.sh).
// usage: gpu_kernels

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "cuda/cell_pool.h"
#include "cuda/kernels.h"
#include "cuda/memory.h"
#include "cuda/rules.h"
#include "kernels/kernels.h"
#include "model/logits.h"
#include "tests/features.h"

using namespace halkspeech;
using halkspeech::cuda::DeviceBuffer;
using test::expect;

namespace {

std::mt19937 random_bits(11);
cuda::SharedStream stream;

std::vector<float> floats(int64_t count, float scale = 1) {
    std::normal_distribution<float> normal(0, scale);
    std::vector<float> values(static_cast<size_t>(count));
    for (float& value : values) value = normal(random_bits);
    return values;
}

// Rounded to 16 bits.
std::vector<float> halves(int64_t count, float scale = 1) {
    std::vector<float> values = floats(count, scale);
    for (float& value : values) value = __half2float(__float2half_rn(value));
    return values;
}

std::vector<__half> as_halves(const std::vector<float>& values) {
    std::vector<__half> converted;
    for (const float value : values) converted.push_back(__float2half_rn(value));
    return converted;
}

template <typename Number>
DeviceBuffer<Number> to_gpu(const std::vector<Number>& values) {
    DeviceBuffer<Number> buffer(stream, std::max<int64_t>(1, static_cast<int64_t>(values.size())));
    cuda::check(cudaMemcpyAsync(
        buffer.data(), values.data(), values.size() * sizeof(Number), cudaMemcpyHostToDevice, stream->get()
    ));
    stream->synchronize();
    return buffer;
}

template <typename Number>
std::vector<Number> from_gpu(const Number* values, int64_t count) {
    std::vector<Number> copy(static_cast<size_t>(count));
    cuda::check(cudaMemcpyAsync(copy.data(), values, copy.size() * sizeof(Number), cudaMemcpyDeviceToHost, stream->get()));
    stream->synchronize();
    return copy;
}

void near(const std::string& what, const std::vector<float>& found, const std::vector<double>& expected, double limit) {
    double most = found.size() == expected.size() ? 0 : std::numeric_limits<double>::infinity();
    for (size_t i = 0; i < expected.size() && i < found.size(); ++i) {
        const double difference = std::abs(found[i] - expected[i]) / std::max(1.0, std::abs(expected[i]));
        most = std::max(most, std::isnan(difference) ? std::numeric_limits<double>::infinity() : difference);
    }
    if (!(most <= limit)) std::printf("%s: %g above %g\n", what.c_str(), most, limit);
    expect(most <= limit, what);
}

void near(const std::string& what, const std::vector<__half>& found, const std::vector<double>& expected) {
    std::vector<float> numbers;
    for (const __half half : found) numbers.push_back(__half2float(half));
    near(what, numbers, expected, 2e-3);
}

double gelu(double x) { return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))); }

void test_convolutions() {
    const int64_t mels = 8, width = 24;
    const std::vector<int64_t> frames = {1, 2, 5, 10};
    std::vector<cuda::WindowRows> windows;
    int64_t rows = 0, features = 0, most = 0;
    for (const int64_t count : frames) {
        const int64_t own = (count + 3) / 2 * 2;
        windows.push_back({features, static_cast<int32_t>(count), static_cast<int32_t>(rows), static_cast<int32_t>(own)});
        features += count * mels;
        rows += own;
        most = std::max(most, own);
    }
    const std::vector<float> values = halves(features), sums = floats(rows * width), bias = halves(width);
    auto on_gpu = to_gpu(values), sums_on_gpu = to_gpu(sums);
    auto windows_on_gpu = to_gpu(windows);
    auto bias_on_gpu = to_gpu(as_halves(bias));
    DeviceBuffer<__half> unfolded(stream, rows * 3 * mels), convolved(stream, (rows + 1) * width);
    const auto count = static_cast<int64_t>(windows.size());
    cuda::unfold_features(*stream, on_gpu.data(), windows_on_gpu.data(), count, most, mels, unfolded.data());
    cuda::finish_first_convolution(
        *stream, sums_on_gpu.data(), bias_on_gpu.data(), windows_on_gpu.data(), count, most, rows, width, convolved.data()
    );
    std::vector<double> expected, finished;
    for (const cuda::WindowRows& window : windows) {
        for (int64_t row = 0; row < window.rows; ++row) {
            const bool is_frame = row >= 1 && row <= window.frames;
            for (int64_t tap = 0; tap < 3; ++tap) {
                for (int64_t mel = 0; mel < mels; ++mel) {
                    const int64_t frame = row - 2 + tap;
                    const bool exists = is_frame && frame >= 0 && frame < window.frames;
                    expected.push_back(exists ? values[static_cast<size_t>(window.features + mel * window.frames + frame)] : 0);
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
        *stream, sums_on_gpu.data(), bias_on_gpu.data(), taken_on_gpu.data(), 4, positions_on_gpu.data(), width, x.data()
    );
    std::vector<double> rows_of_x;
    for (const cuda::EncoderRow& row : taken) {
        for (int64_t j = 0; j < width; ++j)
            rows_of_x.push_back(
                gelu(static_cast<double>(sums[static_cast<size_t>(row.from * width + j)]) + bias[static_cast<size_t>(j)])
                + positions[static_cast<size_t>(row.position * width + j)]
            );
    }
    near("second convolution", from_gpu(x.data(), 4 * width), rows_of_x);
}

void test_rows(int64_t rows, int64_t width) {
    const std::string size = " " + std::to_string(rows) + "x" + std::to_string(width);
    const std::vector<float> x = halves(rows * width, 3), gamma = halves(width), beta = halves(width);
    auto x_on_gpu = to_gpu(as_halves(x)), gamma_on_gpu = to_gpu(as_halves(gamma)), beta_on_gpu = to_gpu(as_halves(beta));
    DeviceBuffer<__half> y(stream, rows * width);
    cuda::layer_norm(*stream, {rows, width}, x_on_gpu.data(), gamma_on_gpu.data(), beta_on_gpu.data(), 1e-5f, y.data());
    std::vector<double> normed, activated;
    for (int64_t i = 0; i < rows; ++i) {
        const float* row = x.data() + i * width;
        const double mean = std::accumulate(row, row + width, 0.0) / static_cast<double>(width);
        double variance = 0;
        for (int64_t j = 0; j < width; ++j) variance += (row[j] - mean) * (row[j] - mean) / static_cast<double>(width);
        for (int64_t j = 0; j < width; ++j) {
            normed.push_back((row[j] - mean) / std::sqrt(variance + 1e-5) * gamma[static_cast<size_t>(j)] + beta[static_cast<size_t>(j)]);
            activated.push_back(gelu(static_cast<double>(row[j]) + beta[static_cast<size_t>(j)]));
        }
    }
    near("layer norm" + size, from_gpu(y.data(), rows * width), normed);
    cuda::add_bias_and_gelu(*stream, {rows, width}, beta_on_gpu.data(), x_on_gpu.data());
    near("bias and gelu" + size, from_gpu(x_on_gpu.data(), rows * width), activated);
}

// softmax(scale * q * k^T) * v of one head in 64 bits.
std::vector<double> attention(
    const float* query, const std::vector<const float*>& keys, int64_t values, double scale, std::vector<double>* scores = nullptr
) {
    constexpr int64_t width = cuda::supported_head_width;
    std::vector<double> weights, output(width);
    for (const float* key : keys) {
        double sum = 0;
        for (int64_t p = 0; p < width; ++p) sum += static_cast<double>(query[p]) * key[p];
        weights.push_back(sum * scale);
    }
    if (scores != nullptr) scores->insert(scores->end(), weights.begin(), weights.end());
    const double most = *std::max_element(weights.begin(), weights.end());
    double total = 0;
    for (double& weight : weights) total += weight = std::exp(weight - most);
    for (size_t t = 0; t < keys.size(); ++t) {
        for (int64_t p = 0; p < width; ++p) output[static_cast<size_t>(p)] += weights[t] / total * keys[t][values + p];
    }
    return output;
}

// Rows of three slots, whose cells lie in several chunks; a prompt and steps behind it.
void test_cells() {
    const int64_t heads = 2, width = heads * cuda::supported_head_width, layers = 3;
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
                    const auto owner = std::find_if(rows.begin(), rows.end(), [&](const Row& other) { return other.cells.back() == of; });
                    keys.push_back(owner->projected.data() + width + head * cuda::supported_head_width);
                }
                const auto one = attention(row.projected.data() + head * cuda::supported_head_width, keys, width, 0.125);
                expected.insert(expected.end(), one.begin(), one.end());
            }
        }
        near("attention to cells, layer " + std::to_string(layer), from_gpu(context.data(), count * width), expected);
    }
    for (const int32_t block : blocks) pool.give_back(block);
    for (size_t i = 1; i + 1 < others.size(); ++i) pool.give_back(others[i]);
    expect(pool.chunks().size() == 1, "an empty pool keeps one chunk");
}

void test_encodings() {
    const int64_t heads = 3, width = heads * cuda::supported_head_width, layers = 2;
    const std::vector<int64_t> lengths = {1, 33, 700};
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
            *stream, groups_on_gpu.data(), 3, count, 700, queries_on_gpu.data(), 1, heads, 0.125f, context.data()
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
        *stream, {rows_on_gpu.data(), nullptr, 3, 9}, table_on_gpu.data(), 2.5f, positions_on_gpu.data(), width, x.data()
    );
    std::vector<double> expected;
    for (const cuda::RowInput& row : rows) {
        for (int64_t j = 0; j < width; ++j)
            expected.push_back(2.5 * table[static_cast<size_t>(row.token * width + j)] + positions[static_cast<size_t>(row.position * width + j)]);
    }
    near("embedding", from_gpu(x.data(), 3 * width), expected);
}

// A rule with its lists.
struct Rule {
    std::vector<uint32_t> previous, banned;
    std::vector<hs_range> ranges;
    hs_rule rule = {};

    hs_rule filled() {
        rule.previous = previous.data();
        rule.previous_count = previous.size();
        rule.banned_ranges = ranges.data();
        rule.banned_range_count = ranges.size();
        rule.banned_tokens = banned.data();
        rule.banned_token_count = banned.size();
        return rule;
    }
};

void test_candidates(int64_t vocabulary) {
    const int64_t ld = (vocabulary + 7) / 8 * 8, stride = 20;
    const auto last = static_cast<uint32_t>(vocabulary - 1);
    BannedSets sets;
    std::vector<uint32_t> begins = {0, 3}, set_tokens = {2, 5, last, 1, 7};
    sets.add({2, 5, last});
    sets.add({1, 7});
    std::vector<Rule> rules;
    const auto add = [&](auto change) {
        Rule rule;
        rule.rule.repetition_penalty = 1;
        rule.rule.banned_set = HS_NO_SET;
        rule.rule.k = 10;
        change(rule);
        rules.push_back(std::move(rule));
    };
    add([](Rule&) {});
    add([](Rule& rule) { rule.rule.k = 1; });
    add([&](Rule& rule) { rule.rule.k = 20; });
    add([&](Rule& rule) {
        rule.rule.repetition_penalty = 1.7f;
        rule.previous = {3, last, 3, 0, 3};
    });
    add([&](Rule& rule) {
        rule.rule.banned_set = 0;
        rule.banned = {0, 4};
        rule.ranges = {{6, 9}, {20, 20}};
    });
    add([](Rule& rule) { rule.rule.banned_set = 1; });
    // Only three tokens are left, and none.
    add([&](Rule& rule) { rule.ranges = {{0, 4}, {7, last + 1}}; });
    add([&](Rule& rule) { rule.ranges = {{0, last + 1}}; });
    // Contests that the text and the time stamps win.
    for (const uint32_t begin : {last, uint32_t{20}}) add([&](Rule& rule) { rule.rule.timestamp_contest = begin; });
    add([&](Rule& rule) {
        rule.rule.timestamp_contest = 40;
        rule.ranges = {{0, 40}};
    });
    for (const float temperature : {0.2f, 1.0f, 5.0f}) {
        for (uint64_t key = 1; key < 6; ++key) add([&](Rule& rule) {
            rule.rule.pick = HS_DRAW;
            rule.rule.temperature = temperature;
            rule.rule.key = key * 0x9e3779b97f4a7c15u;
            if (key == 4) rule.ranges = {{0, 30}};
            if (key == 5) rule.ranges = {{0, last}};
        });
    }
    const auto rows = static_cast<int64_t>(rules.size());
    std::vector<float> logits = floats(rows * ld, 4);
    for (int64_t i = 0; i < rows; ++i) {
        float* row = logits.data() + i * ld;
        // Behind the vocabulary there is nothing to see.
        for (int64_t token = vocabulary; token < ld; ++token) row[token] = 1e9f;
        // Equal logits, the largest among them.
        if (i % 2 == 0) {
            for (int64_t token = 0; token < vocabulary; ++token) row[token] = std::round(row[token]);
        }
    }
    cuda::RuleLists lists;
    cuda::Tables tables(stream);
    for (Rule& rule : rules) {
        check_rule(rule.filled(), sets, vocabulary);
        lists.add(rule.filled(), {begins, sets});
    }
    tables.add(begins);  // anything in front of the lists
    lists.add_to(tables);
    tables.send();
    auto sets_on_gpu = to_gpu(set_tokens);
    auto logits_on_gpu = to_gpu(logits);
    DeviceBuffer<uint32_t> counts(stream, rows), tokens(stream, rows * stride);
    DeviceBuffer<float> log_probs(stream, rows * stride);
    cuda::pick_tokens(
        *stream, lists.on_gpu(tables, sets_on_gpu.data()), logits_on_gpu.data(), ld, vocabulary, rows,
        {counts.data(), tokens.data(), log_probs.data(), stride}
    );
    const auto found_counts = from_gpu(counts.data(), rows), found_tokens = from_gpu(tokens.data(), rows * stride);
    const auto found_log_probs = from_gpu(log_probs.data(), rows * stride);
    for (int64_t i = 0; i < rows; ++i) {
        std::vector<float> row(logits.begin() + i * ld, logits.begin() + i * ld + vocabulary);
        std::vector<uint32_t> expected(stride);
        std::vector<float> expected_log_probs(stride);
        const uint32_t count = apply_rule(
            *generic_kernels(), rules[static_cast<size_t>(i)].filled(), sets, {row.data(), vocabulary}, expected.data(),
            expected_log_probs.data()
        );
        const std::string what = "rule " + std::to_string(i) + " of " + std::to_string(vocabulary);
        expect(found_counts[static_cast<size_t>(i)] == count, what + ": count");
        for (uint32_t j = 0; j < count; ++j) {
            const auto at = static_cast<size_t>(i * stride + j);
            expect(found_tokens[at] == expected[j], what + ": token " + std::to_string(j));
            expect(std::abs(found_log_probs[at] - expected_log_probs[j]) < 1e-4f, what + ": log probability");
        }
    }

    std::vector<uint32_t> targets;
    std::vector<double> probabilities;
    const int64_t n = vocabulary - 3;
    for (int64_t i = 0; i < rows; ++i) {
        targets.push_back(static_cast<uint32_t>((i * 7919) % vocabulary));
        if (i == 1) targets.back() = last;
        double total = 0;
        for (int64_t token = 0; token < n; ++token) total += std::exp(static_cast<double>(logits[static_cast<size_t>(i * ld + token)]));
        const uint32_t target = targets.back();
        probabilities.push_back(target < n ? std::exp(static_cast<double>(logits[static_cast<size_t>(i * ld + target)])) / total : 0);
    }
    auto again = to_gpu(logits);
    auto targets_on_gpu = to_gpu(targets);
    DeviceBuffer<float> found(stream, rows);
    cuda::find_probabilities(*stream, again.data(), ld, n, targets_on_gpu.data(), rows, found.data());
    near("probabilities of " + std::to_string(vocabulary), from_gpu(found.data(), rows), probabilities, 1e-5);
}

void test_logits_that_are_no_numbers() {
    const float infinity = std::numeric_limits<float>::infinity();
    const int64_t vocabulary = 1000;
    for (const float bad : {std::nanf(""), infinity}) {
        std::vector<float> logits = floats(vocabulary);
        logits[700] = bad;
        hs_rule rule = {};
        rule.repetition_penalty = 1;
        rule.banned_set = HS_NO_SET;
        rule.k = 3;
        const BannedSets sets;
        const std::vector<uint32_t> begins;
        cuda::RuleLists lists;
        cuda::Tables tables(stream);
        lists.add(rule, {begins, sets});
        lists.add_to(tables);
        tables.send();
        auto on_gpu = to_gpu(logits);
        DeviceBuffer<uint32_t> counts(stream, 1), tokens(stream, 3);
        DeviceBuffer<float> log_probs(stream, 3);
        cuda::pick_tokens(
            *stream, lists.on_gpu(tables, nullptr), on_gpu.data(), vocabulary, vocabulary, 1,
            {counts.data(), tokens.data(), log_probs.data(), 3}
        );
        expect(from_gpu(counts.data(), 1)[0] == cuda::no_numbers, "logits that are no numbers are an error");
    }
}

void test_all() {
    test_convolutions();
    test_rows(1, 384);
    test_rows(13, 512);
    test_rows(9, 1280);
    test_embedding();
    test_cells();
    test_encodings();
    test_candidates(51);
    test_candidates(1003);
    test_candidates(51865);
    test_logits_that_are_no_numbers();
}

}  // namespace

int main() {
    stream = std::make_shared<cuda::Stream>(0);
#ifdef HALKSPEECH_HOST_CUDA
    for (const auto order : {host_cuda::Order::backward, host_cuda::Order::shuffled, host_cuda::Order::forward}) {
        host_cuda::set_order(order);
        test_all();
    }
    expect(host_cuda::allocated_bytes() == 0, "all memory is freed");
#else
    test_all();
#endif
    std::printf("%d failures\n", test::failures);
    return test::failures == 0 ? 0 : 1;
}
