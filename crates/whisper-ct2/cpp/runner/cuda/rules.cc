#include "rules.h"

#include <algorithm>

namespace halkspeech::cuda {

void RuleLists::add(const hs_rule& rule, const SetPlaces& sets) {
    RowRule row = {};
    row.repetition_penalty = rule.repetition_penalty;
    row.key = rule.key;
    row.timestamp_contest = rule.timestamp_contest;
    row.pick = rule.pick;
    row.k = rule.k;
    if (rule.pick == HS_DRAW) row.factor = 1 / rule.temperature;
    row.previous = static_cast<uint32_t>(tokens_.size());
    if (rule.repetition_penalty != 1) {
        // Each token once, however often it was written.
        std::vector<uint32_t> previous(rule.previous, rule.previous + rule.previous_count);
        std::sort(previous.begin(), previous.end());
        previous.erase(std::unique(previous.begin(), previous.end()), previous.end());
        tokens_.insert(tokens_.end(), previous.begin(), previous.end());
        row.previous_count = static_cast<uint32_t>(previous.size());
    }
    row.banned = static_cast<uint32_t>(tokens_.size());
    row.banned_count = static_cast<uint32_t>(rule.banned_token_count);
    tokens_.insert(tokens_.end(), rule.banned_tokens, rule.banned_tokens + rule.banned_token_count);
    row.ranges = static_cast<uint32_t>(ranges_.size());
    row.range_count = static_cast<uint32_t>(rule.banned_range_count);
    ranges_.insert(ranges_.end(), rule.banned_ranges, rule.banned_ranges + rule.banned_range_count);
    if (rule.banned_set != HS_NO_SET) {
        row.set = sets.begins.at(rule.banned_set);
        row.set_count = static_cast<uint32_t>(sets.sets.at(rule.banned_set).size());
    }
    rules_.push_back(row);
}

void RuleLists::add_to(Tables& tables) {
    rules_place_ = tables.add(rules_);
    tokens_place_ = tables.add(tokens_);
    ranges_place_ = tables.add(ranges_);
}

RuleTables RuleLists::on_gpu(const Tables& tables, const uint32_t* sets) const {
    return {
        tables.at<RowRule>(rules_place_), tables.at<uint32_t>(tokens_place_), tables.at<hs_range>(ranges_place_), sets,
    };
}

}  // namespace halkspeech::cuda
