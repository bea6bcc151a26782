#include "logits.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

namespace halkspeech {

namespace {

constexpr float banned = -std::numeric_limits<float>::infinity();

// The largest noise that `gumbel` gives is 17.3.
constexpr float max_gumbel = 17.5f;

void penalize(const hs_rule& rule, float* logits) {
    if (rule.repetition_penalty == 1) return;
    // Each token once, however often it was written.
    std::vector<uint32_t> previous(rule.previous, rule.previous + rule.previous_count);
    std::sort(previous.begin(), previous.end());
    previous.erase(std::unique(previous.begin(), previous.end()), previous.end());
    for (const uint32_t token : previous) {
        float& logit = logits[token];
        logit = logit < 0 ? logit * rule.repetition_penalty : logit / rule.repetition_penalty;
    }
}

void ban(const hs_rule& rule, const BannedSets& sets, float* logits) {
    if (rule.banned_set != HS_NO_SET) {
        for (const uint32_t token : sets.at(rule.banned_set)) logits[token] = banned;
    }
    for (size_t i = 0; i < rule.banned_range_count; ++i)
        std::fill(logits + rule.banned_ranges[i].begin, logits + rule.banned_ranges[i].end, banned);
    for (size_t i = 0; i < rule.banned_token_count; ++i) logits[rule.banned_tokens[i]] = banned;
}

// The token with the largest noisy score. Most tokens cannot win whatever their noise.
uint32_t draw(const hs_rule& rule, int64_t vocabulary, const float* log_probs) {
    const float factor = 1 / rule.temperature;
    const auto score_of = [&](int64_t token) {
        return log_probs[token] * factor + gumbel(rule.key, static_cast<uint32_t>(token));
    };
    int64_t best = std::max_element(log_probs, log_probs + vocabulary) - log_probs;
    float best_score = score_of(best);
    for (int64_t token = 0; token < vocabulary; ++token) {
        if (!(log_probs[token] * factor + max_gumbel > best_score)) continue;
        const float score = score_of(token);
        if (score > best_score || (score == best_score && token < best)) {
            best = token;
            best_score = score;
        }
    }
    return static_cast<uint32_t>(best);
}

}  // namespace

uint32_t BannedSets::add(std::vector<uint32_t> tokens) {
    sets_.push_back(std::move(tokens));
    return static_cast<uint32_t>(sets_.size() - 1);
}

void check_rule(const hs_rule& rule, const BannedSets& sets, int64_t vocabulary) {
    const auto exist = [&](const uint32_t* tokens, size_t count) {
        return std::all_of(tokens, tokens + count, [&](uint32_t token) { return token < vocabulary; });
    };
    if (rule.banned_set != HS_NO_SET) {
        const auto& set = sets.at(rule.banned_set);
        if (!exist(set.data(), set.size())) throw std::invalid_argument("a banned set has an unknown token");
    }
    for (size_t i = 0; i < rule.banned_range_count; ++i) {
        const hs_range& range = rule.banned_ranges[i];
        if (range.begin > range.end || range.end > vocabulary) throw std::invalid_argument("a banned range is not one");
    }
    if (!exist(rule.banned_tokens, rule.banned_token_count) || !exist(rule.previous, rule.previous_count))
        throw std::invalid_argument("a rule has an unknown token");
    if (!(rule.repetition_penalty > 0)) throw std::invalid_argument("a repetition penalty is not above zero");
    if (rule.pick == HS_BEST && (rule.k < 1 || rule.k > vocabulary)) throw std::invalid_argument("k is out of range");
    if (rule.pick == HS_DRAW && !(rule.temperature > 0)) throw std::invalid_argument("a temperature is not above zero");
    if (rule.pick != HS_BEST && rule.pick != HS_DRAW) throw std::invalid_argument("a rule picks neither way");
}

void apply_rule(
    const Kernels& kernels, const hs_rule& rule, const BannedSets& sets, uint32_t timestamp_begin, int64_t vocabulary,
    float* logits, uint32_t* tokens, float* log_probs
) {
    penalize(rule, logits);
    ban(rule, sets, logits);
    if (rule.timestamp_contest != 0) {
        const float text = kernels.max(timestamp_begin, logits);
        const float stamps = kernels.log_sum_exp(vocabulary - timestamp_begin, logits + timestamp_begin);
        if (stamps > text) std::fill(logits, logits + timestamp_begin, banned);
    }
    const float total = kernels.log_sum_exp(vocabulary, logits);
    if (rule.pick == HS_BEST) {
        kernels.top_k(rule.k, vocabulary, logits, log_probs, reinterpret_cast<int32_t*>(tokens));
        for (uint32_t i = 0; i < rule.k; ++i) log_probs[i] -= total;
    } else {
        tokens[0] = draw(rule, vocabulary, logits);
        log_probs[0] = logits[tokens[0]] - total;
    }
}

float gumbel(uint64_t key, uint32_t token) {
    uint64_t bits = key + (static_cast<uint64_t>(token) + 1) * 0x9e3779b97f4a7c15u;
    bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9u;
    bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebu;
    bits ^= bits >> 31;
    const float uniform = (static_cast<float>(bits >> 40) + 0.5f) * 0x1p-24f;
    return -std::log(-std::log(uniform));
}

}  // namespace halkspeech
