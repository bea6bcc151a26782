#include "logits.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "noise.h"

namespace halkspeech {

namespace {

constexpr float banned = -std::numeric_limits<float>::infinity();

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

// The token with the largest noisy score, of equal ones the first. Most tokens cannot win whatever their noise. If no
// score is finite, because the temperature is very small, it is the likeliest.
int64_t draw(const hs_rule& rule, const Logits& log_probs) {
    const float factor = 1 / rule.temperature;
    const float* begin = log_probs.values;
    const auto score_of = [&](int64_t token) {
        return begin[token] * factor + gumbel_noise(rule.key, static_cast<uint32_t>(token));
    };
    const int64_t likeliest = std::max_element(begin, begin + log_probs.count) - begin;
    const float enough = score_of(likeliest);
    int64_t best = likeliest;
    float best_score = banned;
    for (int64_t token = 0; token < log_probs.count; ++token) {
        if (begin[token] == banned || begin[token] * factor + max_gumbel_noise < enough) continue;
        const float score = score_of(token);
        if (!(score > best_score)) continue;
        best = token;
        best_score = score;
    }
    return best;
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
    if (rule.timestamp_contest >= vocabulary) throw std::invalid_argument("the first time stamp is unknown");
    if (!(rule.repetition_penalty > 0)) throw std::invalid_argument("a repetition penalty is not above zero");
    if (rule.pick == HS_BEST && (rule.k < 1 || rule.k > vocabulary)) throw std::invalid_argument("k is out of range");
    if (rule.pick == HS_DRAW && !(rule.temperature > 0)) throw std::invalid_argument("a temperature is not above zero");
    if (rule.pick != HS_BEST && rule.pick != HS_DRAW) throw std::invalid_argument("a rule picks neither way");
}

void check_places(const hs_rule& rule, size_t places) {
    if (rule.pick == HS_BEST ? rule.k > places : places < 1)
        throw std::invalid_argument("a row has more candidates than places");
}

uint32_t apply_rule(
    const Kernels& kernels, const hs_rule& rule, const BannedSets& sets, const Logits& logits, uint32_t* tokens,
    float* log_probs
) {
    float* values = logits.values;
    penalize(rule, values);
    ban(rule, sets, values);
    if (rule.timestamp_contest != 0) {
        const auto begin = static_cast<int64_t>(rule.timestamp_contest);
        const float text = kernels.max(begin, values);
        const float stamps = kernels.log_sum_exp(logits.count - begin, values + begin);
        if (stamps > text) std::fill(values, values + begin, banned);
    }
    const float total = kernels.log_sum_exp(logits.count, values);
    if (total == banned) return 0;
    if (rule.pick == HS_BEST) {
        kernels.top_k(rule.k, logits.count, values, log_probs, reinterpret_cast<int32_t*>(tokens));
        uint32_t count = 0;
        for (; count < rule.k && log_probs[count] != banned; ++count) log_probs[count] -= total;
        return count;
    }
    for (int64_t token = 0; token < logits.count; ++token) values[token] -= total;
    const int64_t drawn = draw(rule, logits);
    tokens[0] = static_cast<uint32_t>(drawn);
    log_probs[0] = values[drawn];
    return 1;
}

}  // namespace halkspeech
