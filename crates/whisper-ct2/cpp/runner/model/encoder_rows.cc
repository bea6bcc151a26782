#include "encoder_rows.h"

#include <algorithm>

namespace halkspeech {

namespace {

// As in `window_lengths.rs`.
constexpr int64_t silence_stride = 20;

}  // namespace

std::vector<std::pair<int64_t, int64_t>> encoder_rows(int64_t time, int64_t max_time) {
    std::vector<std::pair<int64_t, int64_t>> rows;
    if (time == max_time) {
        for (int64_t position = 0; position < time; ++position) rows.emplace_back(position, position);
        return rows;
    }
    // The convolutions fill up with zeros, which are no silence; the last row sees them.
    const int64_t silence = std::max<int64_t>(time - 2, 0);
    for (int64_t position = 0; position < time; ++position) rows.emplace_back(std::min(position, silence), position);
    const int64_t first = time - 1 + silence_stride + (max_time - time) % silence_stride;
    for (int64_t position = first; position < max_time; position += silence_stride)
        rows.emplace_back(silence, position);
    return rows;
}

}  // namespace halkspeech
