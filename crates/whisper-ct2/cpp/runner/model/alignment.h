// When each token was said, from the attention of the model's alignment heads.

#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "decoder.h"
#include "step.h"

namespace halkspeech {

struct Alignment {
    std::vector<std::pair<int64_t, int64_t>> path;  // text token, position of the encoding
    std::vector<float> probabilities;               // of each text token
};

struct AlignmentText {
    std::vector<uint32_t> start, tokens;
    int64_t frames, median_filter_width;
};

// As CTranslate2's `Whisper::align`: `tokens` follow `start` and <|notimestamps|>, and their path goes through the
// positions of the first `frames` of the window; without a pair of frames there is no path.
Alignment align(Decoder& decoder, std::shared_ptr<const Encoding> encoding, const AlignmentText& text);

// The parts of it that need no decoder. The tokens that are read; the text's follow the first `start` and one.
// # Errors: the model names no alignment heads, or the filter's width is not odd.
std::vector<uint32_t> tokens_to_align(const Tokens& tokens, size_t alignment_heads, const AlignmentText& text);
// From the scores of all rows that were read.
std::vector<std::pair<int64_t, int64_t>> alignment_path(const AlignmentScores& scores, const AlignmentText& text);

// The path with the largest sum through values [rows, columns], from the first to the last of both.
std::vector<std::pair<int64_t, int64_t>> best_path(int64_t rows, int64_t columns, const float* values);

}  // namespace halkspeech
