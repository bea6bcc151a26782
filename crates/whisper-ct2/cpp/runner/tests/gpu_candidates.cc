// What a GPU does with logits against what a CPU does. Compiled for a GPU, or with the folder host_cuda for a processor
// (build.sh).
// usage: gpu_candidates

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "cuda/kernels.h"
#include "cuda/rules.h"
#include "kernels/kernels.h"
#include "model/logits.h"
#include "tests/gpu_arrays.h"

using namespace halkspeech;
using test::DeviceBuffer;
using test::expect;
using test::floats;
using test::from_gpu;
using test::near;
using test::stream;
using test::to_gpu;

namespace {

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
    // The likeliest text token is banned by another thread than the one that looks at it.
    const size_t decided = rules.size();
    add([&](Rule& rule) {
        rule.rule.timestamp_contest = 40;
        rule.banned = {17};
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
    // Temperatures whose reciprocal is infinite, or whose scores are: the likeliest token, also if it is certain.
    const size_t cold = rules.size();
    for (const float temperature : {1e-40f, 1e-38f}) {
        for (const bool is_certain : {false, true}) add([&](Rule& rule) {
            rule.rule.pick = HS_DRAW;
            rule.rule.temperature = temperature;
            rule.banned = {0, 1};
            if (is_certain) rule.ranges = {{0, last}};
        });
    }
    const auto rows = static_cast<int64_t>(rules.size());
    std::vector<float> logits = floats(rows * ld, 4);
    for (int64_t i = 0; i < rows; ++i) {
        float* row = logits.data() + i * ld;
        // Behind the vocabulary there is nothing to see.
        for (int64_t token = vocabulary; token < ld; ++token) row[token] = 1e9f;
        if (i == static_cast<int64_t>(decided)) row[17] = 100;
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
        if (static_cast<size_t>(i) >= cold) {
            // `row` has the logarithms of the probabilities now.
            const auto likeliest = std::max_element(row.begin(), row.end()) - row.begin();
            expect(count == 1 && expected[0] == likeliest, what + ": the likeliest token on a CPU");
        }
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
        for (int64_t token = 0; token < n; ++token)
            total += std::exp(static_cast<double>(logits[static_cast<size_t>(i * ld + token)]));
        const uint32_t target = targets.back();
        probabilities.push_back(
            target < n ? std::exp(static_cast<double>(logits[static_cast<size_t>(i * ld + target)])) / total : 0
        );
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

}  // namespace

int main() {
    return test::run_tests([] {
        test_candidates(51);
        test_candidates(1003);
        test_candidates(51865);
        // Of large-v3 and turbo.
        test_candidates(51866);
        test_logits_that_are_no_numbers();
    });
}
