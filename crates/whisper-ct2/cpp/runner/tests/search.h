// Plain greedy and beam search over `hs_step`, as CTranslate2's decoding.cc does them, for tests.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <utility>
#include <vector>

#include "runner.h"

namespace test {

using Tokens = std::vector<uint32_t>;

inline void check(int status) {
    if (status == HS_OK) return;
    std::fprintf(stderr, "failed: %s\n", hs_error());
    std::exit(1);
}

struct Options {
    size_t beam_size = 1;
    bool timestamps = false;
    float repetition_penalty = 1;
    size_t max_length = 448;
    float temperature = 0;  // above zero: draw
    uint64_t seed = 0;
    bool never_end = false;
};

// A rule and the lists that it points to.
struct Rule {
    Tokens previous, banned;
    std::vector<hs_range> ranges;
    hs_rule rule = {};

    hs_rule filled(uint32_t set) {
        rule.previous = previous.data();
        rule.previous_count = previous.size();
        rule.banned_set = set;
        rule.banned_ranges = ranges.data();
        rule.banned_range_count = ranges.size();
        rule.banned_tokens = banned.data();
        rule.banned_token_count = banned.size();
        return rule;
    }
};

inline Rule rule_behind(const hs_model_info& info, const Options& options, const Tokens& text) {
    Rule rule;
    rule.rule.repetition_penalty = options.repetition_penalty;
    rule.previous = text;
    const uint32_t begin = info.no_timestamps + 1, end = info.vocabulary;
    if (text.empty())
        rule.banned.assign(
            info.suppressed_at_begin_tokens, info.suppressed_at_begin_tokens + info.suppressed_at_begin
        );
    if (options.never_end) rule.banned.push_back(info.end_of_text);
    if (!options.timestamps) return rule;
    rule.banned.push_back(info.no_timestamps);
    const auto is_stamp = [&](size_t i) { return text[i] >= begin; };
    if (text.empty()) {
        rule.ranges = {{0, begin}, {begin + 51, end}};
    } else if (is_stamp(text.size() - 1)) {
        const bool is_pair = text.size() < 2 || is_stamp(text.size() - 2);
        if (is_pair) {
            rule.ranges = {{begin, end}};
        } else {
            rule.ranges = {{0, info.end_of_text}, {begin, text.back()}};
            rule.rule.timestamp_contest = begin;
        }
    } else {
        rule.rule.timestamp_contest = begin;
        for (size_t i = text.size(); i > 0; --i) {
            if (!is_stamp(i - 1)) continue;
            rule.ranges = {{begin, text[i - 1] + 1}};
            break;
        }
    }
    return rule;
}

// A text that is being written, one step at a time.
class Search {
public:
    Search(hs_decoder* decoder, const hs_model_info& info, hs_encoding* encoding, const Tokens& prompt, Options options)
        : decoder_(decoder), info_(info), options_(options) {
        check(hs_open(decoder, encoding, prompt.data(), prompt.size(), &slot_, &no_speech_prob));
        check(hs_register_banned(decoder, info.suppressed_tokens, info.suppressed, &set_));
        beams_.push_back({{}, 0, 0, prompt.back()});
        const size_t start = prompt.size() - 1;
        max_steps_ = std::min(options.max_length / 2, options.max_length - start);
    }
    ~Search() { hs_close(decoder_, slot_); }
    Search(const Search&) = delete;

    size_t stride() const { return 2 * options_.beam_size; }
    bool is_done() const { return done_; }

    void add_rows(std::vector<hs_row>& rows) {
        rules_.clear();
        for (const Beam& beam : beams_) rules_.push_back(rule_behind(info_, options_, beam.text));
        for (size_t i = 0; i < beams_.size(); ++i) {
            hs_rule rule = rules_[i].filled(set_);
            rule.pick = options_.temperature > 0 ? HS_DRAW : HS_BEST;
            rule.k = static_cast<uint32_t>(options_.beam_size == 1 ? 1 : stride());
            rule.temperature = options_.temperature;
            rule.key = options_.seed * 1000003 + beams_[i].text.size();
            rows.push_back({slot_, beams_[i].parent, beams_[i].token, rule});
        }
    }

    // Candidates of this search's rows, `stride` apart.
    void advance(const uint32_t* tokens, const float* log_probs, size_t stride) {
        for (size_t i = 0; i < beams_.size(); ++i) {
            const size_t count = options_.beam_size == 1 ? 1 : 2 * options_.beam_size;
            for (size_t j = 0; j < count; ++j) trace.emplace_back(tokens[i * stride + j], log_probs[i * stride + j]);
        }
        struct Candidate {
            size_t beam;
            uint32_t token;
            float score;
        };
        const size_t wanted = options_.beam_size == 1 ? 1 : 2 * options_.beam_size;
        std::vector<Candidate> all;
        for (size_t i = 0; i < beams_.size(); ++i) {
            for (size_t j = 0; j < wanted; ++j)
                all.push_back({i, tokens[i * stride + j], beams_[i].score + log_probs[i * stride + j]});
        }
        std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.score > b.score; });
        all.resize(wanted);
        const bool is_last = ++steps_ == max_steps_;
        std::vector<Beam> next;
        size_t secondary = options_.beam_size;
        for (size_t k = 0; k < options_.beam_size; ++k) {
            size_t taken = k;
            const bool is_end = all[k].token == info_.end_of_text;
            if (is_end || is_last) {
                Tokens text = beams_[all[k].beam].text;
                if (!is_end) text.push_back(all[k].token);
                ended_.push_back({text, all[k].score});
                for (size_t j = secondary; j < wanted; ++j) {
                    if (all[j].token == info_.end_of_text) continue;
                    taken = j;
                    secondary = j + 1;
                    break;
                }
            }
            const Candidate& candidate = all[taken];
            Beam beam = {
                beams_[candidate.beam].text, candidate.score, static_cast<uint32_t>(candidate.beam), candidate.token
            };
            beam.text.push_back(candidate.token);
            next.push_back(std::move(beam));
        }
        done_ = is_last || ended_.size() >= options_.beam_size;
        beams_ = std::move(next);
    }

    Tokens best(float* score = nullptr) const {
        const Ended* best = nullptr;
        float best_score = 0;
        for (const Ended& ended : ended_) {
            const float length = static_cast<float>(ended.text.size());
            const float normalized = ended.text.empty() ? ended.score : ended.score / length;
            if (best != nullptr && normalized <= best_score) continue;
            best = &ended;
            best_score = normalized;
        }
        if (score != nullptr) *score = best_score;
        return best->text;
    }

    float no_speech_prob = 0;
    // All candidates.
    std::vector<std::pair<uint32_t, float>> trace;

private:
    struct Beam {
        Tokens text;
        float score;
        uint32_t parent, token;
    };
    struct Ended {
        Tokens text;
        float score;
    };

    hs_decoder* decoder_;
    const hs_model_info& info_;
    Options options_;
    uint64_t slot_ = 0;
    uint32_t set_ = HS_NO_SET;
    size_t max_steps_ = 0, steps_ = 0;
    bool done_ = false;
    std::vector<Beam> beams_;
    std::vector<Ended> ended_;
    std::vector<Rule> rules_;
};

// Writes all searches to their ends, the rows of all in one step; each begins `delay` steps behind the one before.
inline size_t run(hs_decoder* decoder, const std::vector<Search*>& searches, size_t delay = 0) {
    size_t steps = 0;
    while (true) {
        std::vector<hs_row> rows;
        std::vector<size_t> begins;
        std::vector<Search*> due;
        size_t stride = 1;
        bool is_any_late = false;
        for (size_t i = 0; i < searches.size(); ++i) {
            Search* search = searches[i];
            if (search->is_done()) continue;
            if (steps < i * delay) {
                is_any_late = true;
                continue;
            }
            begins.push_back(rows.size());
            due.push_back(search);
            search->add_rows(rows);
            stride = std::max(stride, search->stride());
        }
        if (due.empty() && !is_any_late) return steps;
        std::vector<uint32_t> tokens(rows.size() * stride);
        std::vector<float> log_probs(rows.size() * stride);
        std::vector<uint32_t> counts(rows.size());
        check(hs_step(decoder, rows.data(), rows.size(), stride, counts.data(), tokens.data(), log_probs.data()));
        ++steps;
        for (size_t i = 0; i < due.size(); ++i)
            due[i]->advance(tokens.data() + begins[i] * stride, log_probs.data() + begins[i] * stride, stride);
    }
}

}  // namespace test
