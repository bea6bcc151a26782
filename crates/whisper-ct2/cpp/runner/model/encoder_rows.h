// The positions that the encoder's layers see.

#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace halkspeech {

// Rows of the layers' input: the row of the convolutions' output that each is made from, and its position.
//
// Behind the positions of a window's features stand those of the silence that would follow up to 30 s, one in
// 20, the very last among them: the model knows by them that nothing follows, as it does where all of the
// silence is encoded, for a fraction of the work (docs/accuracy.md).
//
// `time` and `max_time` are rows of the convolutions' output: of this window, and of one of 30 s.
std::vector<std::pair<int64_t, int64_t>> encoder_rows(int64_t time, int64_t max_time);

}  // namespace halkspeech
