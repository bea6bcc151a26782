// When each token was said, from the attention of the model's alignment heads.

#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "decoder.h"

namespace halkspeech {

struct Alignment {
    std::vector<std::pair<int64_t, int64_t>> path;  // text token, position of the encoding
    std::vector<float> probabilities;               // of each text token
};

// As CTranslate2's `Whisper::align`: `tokens` follow `start` and <|notimestamps|>, and their path goes through the
// positions of the first `frames` of the window; without a pair of frames there is no path.
Alignment align(
    Decoder& decoder, std::shared_ptr<const Encoding> encoding, const std::vector<uint32_t>& start,
    const std::vector<uint32_t>& tokens, int64_t frames, int64_t median_filter_width
);

// The path with the largest sum through values [rows, columns], from the first to the last of both.
std::vector<std::pair<int64_t, int64_t>> best_path(int64_t rows, int64_t columns, const float* values);

}  // namespace halkspeech
