// Attention of Whisper's decoder on a GPU. Row-major 16-bit floats, heads of width 64; `width` is that of all heads
// together. Each function runs on CTranslate2's stream of this thread, and throws std::runtime_error with CUDA's
// message.

#pragma once

#include <cstdint>

#include <ctranslate2/storage_view.h>

namespace halkspeech {

// The keys and values of one token position: [rows, 2 * width], with `ld` elements between rows.
struct KeyValueRows {
    const void* first;
    int64_t ld;
};

// Extends `previous` [hypotheses, previous tokens] to `rows` [hypotheses, previous tokens + tokens]; the new elements
// are the hypothesis' own index.
void append_rows(const ctranslate2::StorageView& previous, int64_t tokens, ctranslate2::StorageView& rows);

// Copies keys and values from `projected` [hypotheses, tokens, 3 * width] to `keys_values` [hypotheses, tokens,
// 2 * width], and writes the location of each token's to `locations`.
void store_keys_values(
    const ctranslate2::StorageView& projected, ctranslate2::StorageView& keys_values, KeyValueRows* locations
);

// Self-attention: each token attends to the tokens of its hypothesis up to itself, in row `rows` [hypotheses, all] of
// each location. `projected` [hypotheses, tokens, 3 * width] begins with the queries; `context` is [hypotheses, tokens,
// width].
void attend_to_hypotheses(
    const ctranslate2::StorageView& projected, const ctranslate2::StorageView& rows, const KeyValueRows* locations,
    int64_t heads, float scale, ctranslate2::StorageView& context
);

// Writes the number of positions of each window of `encodings` [windows, positions, width] to `lengths`. Padding is
// rows of zeros, which do not occur in an encoding.
void measure_encodings(const ctranslate2::StorageView& encodings, ctranslate2::StorageView& lengths);

// Cross-attention: tokens of each window's hypotheses attend to its encoding. `ranges` [windows, 2] has the first row
// and the number of rows of each window in `keys_values` [positions of all windows, 2 * width]; `max_length` is the
// largest number. `queries` and `context` are [hypotheses, tokens, width].
void attend_to_encodings(
    const ctranslate2::StorageView& queries, const ctranslate2::StorageView& ranges,
    const ctranslate2::StorageView& keys_values, int64_t max_length, int64_t heads, float scale,
    ctranslate2::StorageView& context
);

}  // namespace halkspeech
