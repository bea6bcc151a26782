// Attention of Whisper's decoder on a card. Row-major 16-bit floats, heads of 64; `width` is that of all heads. Each
// runs on CTranslate2's stream of this thread, and throws std::runtime_error with what CUDA says.

#pragma once

#include <cstdint>

#include <ctranslate2/storage_view.h>

namespace halkspeech {

// Where keys and values of a moment are: [rows, 2 * width], each row `ld` behind the one before.
struct Time {
    const void* first;
    int64_t ld;
};

// [hypotheses, before + tokens]: for each the rows that it has in `before`, and for so many more tokens its own number.
void append_rows(const ctranslate2::StorageView& before, int64_t tokens, ctranslate2::StorageView& rows);

// Takes keys and values out of `projected` [hypotheses, tokens, 3 * width] into `texts` [hypotheses, tokens,
// 2 * width], and says in `times` where those of each token are.
void keep_text(const ctranslate2::StorageView& projected, ctranslate2::StorageView& texts, Time* times);

// Each token attends to those of its hypothesis up to itself: `rows` [hypotheses, all] are theirs in `times`. Queries
// are what `projected` [hypotheses, tokens, 3 * width] begins with; `context` is [hypotheses, tokens, width].
void attend_to_texts(
    const ctranslate2::StorageView& projected, const ctranslate2::StorageView& rows, const Time* times, int64_t heads,
    float scale, ctranslate2::StorageView& context
);

// Positions of each window of `encodings` [windows, positions, width] into `lengths`; behind them stand rows of zeros,
// which no encoding has.
void measure_windows(const ctranslate2::StorageView& encodings, ctranslate2::StorageView& lengths);

// Tokens of the hypotheses of each window attend to it: `places` [windows, 2] have its first row in `memory` [positions
// of all windows, 2 * width], and how many it has, `longest` at most. `queries` and `context` are [hypotheses, tokens,
// width].
void attend_to_windows(
    const ctranslate2::StorageView& queries, const ctranslate2::StorageView& places,
    const ctranslate2::StorageView& memory, int64_t longest, int64_t heads, float scale,
    ctranslate2::StorageView& context
);

}  // namespace halkspeech
