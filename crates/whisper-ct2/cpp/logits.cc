// Which tokens may come next, decided for all hypotheses of a batch at once.
//
// CTranslate2 keeps what is banned on a card in a list that it sorts in token by token, and asks for the likelihood of
// time stamps hypothesis by hypothesis: with 512 windows and five beams a token took 0.12 s, and 0.02 s like this
// (docs/performance.md). These two are put in the place of CTranslate2's. Compiled with access to private members.
//
// 1. `ApplyTimestampRules`, Whisper's rules for time stamps (https://github.com/openai/whisper, `decoding.py`): its
//    source is CTranslate2's whisper.cc, where it is a weak symbol, so the linker prefers this one.
// 2. `SuppressTokens`: its constructor makes one of ours (build.rs).

#include <algorithm>
#include <limits>
#include <new>
#include <vector>

#include <ctranslate2/decoding_utils.h>
#include <ctranslate2/primitives.h>
#include <ctranslate2/storage_view.h>

#include "cuda/logits.h"

using ctranslate2::Device;
using ctranslate2::dim_t;
using ctranslate2::DisableTokens;
using ctranslate2::LogitsProcessor;
using ctranslate2::primitives;
using ctranslate2::StorageView;
using ctranslate2::SuppressTokens;
using halkspeech::AllowedTokens;
using halkspeech::Timestamps;

namespace {

// What may come behind the tokens of a hypothesis, of which those from `begin` to `end` are the model's own.
AllowedTokens allowed_behind(
    const int32_t* tokens, dim_t begin, dim_t end, const Timestamps& timestamps, int32_t end_of_text,
    int32_t last_at_first
) {
    const auto is_stamp = [&](dim_t at) { return tokens[at] >= timestamps.first; };
    AllowedTokens allowed = {0, timestamps.first, timestamps.last, 0};
    if (end == begin && end == 0) {
        // A text begins with a time stamp, and not with a late one.
        return {timestamps.first, timestamps.first, last_at_first, 0};
    }
    if (end <= begin) return allowed;
    const int32_t last = tokens[end - 1];
    if (!is_stamp(end - 1)) {
        // Behind text a later time stamp may come than the last.
        dim_t at = end - 1;
        while (at >= begin && !is_stamp(at)) --at;
        if (at >= begin) allowed.first = tokens[at] + 1;
        allowed.is_contest = 1;
    } else if (end - 1 > begin && !is_stamp(end - 2)) {
        // The end of a segment: the begin of the next one follows, no earlier, or the end of the text.
        allowed.text = end_of_text;
        allowed.first = last;
        allowed.is_contest = 1;
    } else {
        // The begin of a segment, or of the next one: text follows.
        allowed.first = timestamps.last + 1;
    }
    return allowed;
}

// For each row of `tokens` [rows, step].
std::vector<AllowedTokens> allowed_behind_rows(
    const int32_t* tokens, const std::vector<dim_t>& begins, dim_t step, const Timestamps& timestamps,
    int32_t end_of_text, int32_t last_at_first
) {
    std::vector<AllowedTokens> rows;
    for (size_t i = 0; i < begins.size(); ++i) {
        const int32_t* row = tokens + static_cast<dim_t>(i) * step;
        rows.push_back(allowed_behind(row, begins[i], step, timestamps, end_of_text, last_at_first));
    }
    return rows;
}

void allow_on_processor(StorageView& logits, const Timestamps& timestamps, const std::vector<AllowedTokens>& rows) {
    constexpr float banned = std::numeric_limits<float>::lowest();
    const dim_t end = timestamps.last + 1;
    for (size_t i = 0; i < rows.size(); ++i) {
        float* row = logits.data<float>() + static_cast<dim_t>(i) * logits.dim(1);
        row[timestamps.none] = banned;
        std::fill(row, row + rows[i].text, banned);
        std::fill(row + timestamps.first, row + rows[i].first, banned);
        std::fill(row + rows[i].last + 1, row + end, banned);
        if (!rows[i].is_contest) continue;
        const float text = primitives<Device::CPU>::max(row, timestamps.first);
        const float stamp = primitives<Device::CPU>::logsumexp(row + timestamps.first, end - timestamps.first);
        if (stamp > text) std::fill(row, row + timestamps.first, banned);
    }
}

class SuppressTokensAtOnce : public SuppressTokens {
public:
    using SuppressTokens::SuppressTokens;

    void apply(
        dim_t step, StorageView& logits, DisableTokens& disable_tokens, const StorageView& sequences,
        const std::vector<dim_t>& batch_offset, const std::vector<std::vector<size_t>>* prefix
    ) override {
        if (logits.device() == Device::CPU)
            return SuppressTokens::apply(step, logits, disable_tokens, sequences, batch_offset, prefix);
        halkspeech::suppress_on_gpu(logits, std::vector<int32_t>(_ids.begin(), _ids.end()));
    }
};
static_assert(sizeof(SuppressTokensAtOnce) == sizeof(SuppressTokens), "one stands in the place of the other");

}  // namespace

namespace ctranslate2::models {

// As in whisper.cc.
class ApplyTimestampRules : public LogitsProcessor {
public:
    void apply(
        dim_t step, StorageView& logits, DisableTokens& disable_tokens, const StorageView& sequences,
        const std::vector<dim_t>& batch_offset, const std::vector<std::vector<size_t>>* prefix
    ) override;

private:
    size_t _eot_id;
    size_t _no_timestamps_id;
    size_t _timestamp_begin_id;
    size_t _timestamp_end_id;
    size_t _max_initial_timestamp_id;
};

void ApplyTimestampRules::apply(
    dim_t step, StorageView& logits, DisableTokens& disable_tokens, const StorageView& sequences,
    const std::vector<dim_t>& batch_offset, const std::vector<std::vector<size_t>>* prefix
) {
    const Timestamps timestamps = {
        static_cast<int32_t>(_no_timestamps_id), static_cast<int32_t>(_timestamp_begin_id),
        static_cast<int32_t>(_timestamp_end_id),
    };
    const auto last_at_first = static_cast<int32_t>(std::min(_max_initial_timestamp_id, _timestamp_end_id));
    std::vector<dim_t> begins;
    for (dim_t i = 0; i < logits.dim(0); ++i)
        begins.push_back(get_sample_begin(logits.dim(0), i, batch_offset, prefix));
    const std::vector<AllowedTokens> rows = allowed_behind_rows(
        step == 0 ? nullptr : sequences.data<int32_t>(), begins, step, timestamps, static_cast<int32_t>(_eot_id),
        last_at_first
    );
    // The contest is without what else is banned.
    disable_tokens.apply();
    if (logits.device() == Device::CPU)
        allow_on_processor(logits, timestamps, rows);
    else
        halkspeech::suppress_others_on_gpu(logits, timestamps, rows);
}

}  // namespace ctranslate2::models

extern "C" {

// For tests: what the rules make of `logits` [rows, last time stamp + 1] behind `tokens` [rows, step].
void halkspeech_allow(
    float* logits, size_t rows, const int32_t* tokens, size_t step, int32_t end_of_text, int32_t no_timestamps,
    int32_t first_timestamp, int32_t last_timestamp, int32_t last_at_first
) {
    const Timestamps timestamps = {no_timestamps, first_timestamp, last_timestamp};
    StorageView scores({static_cast<dim_t>(rows), last_timestamp + 1}, logits);
    const std::vector<dim_t> begins(rows, 0);
    const auto count = static_cast<dim_t>(step);
    const auto allowed = allowed_behind_rows(tokens, begins, count, timestamps, end_of_text, last_at_first);
    allow_on_processor(scores, timestamps, allowed);
}

// SuppressTokens::SuppressTokens(std::vector<size_t>)
void __wrap__ZN11ctranslate214SuppressTokensC1ESt6vectorImSaImEE(
    SuppressTokens* place, std::vector<size_t> ids
) {
    new (place) SuppressTokensAtOnce(std::move(ids));
}

}  // extern "C"
