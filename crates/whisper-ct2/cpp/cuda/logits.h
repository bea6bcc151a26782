// Suppresses tokens in the scores on a GPU.

#pragma once

#include <cstdint>
#include <vector>

#include <ctranslate2/storage_view.h>

namespace halkspeech {

// The time stamp tokens.
struct Timestamps {
    int32_t none;         // <|notimestamps|>
    int32_t first, last;  // all tokens before `first` are text
};

// The tokens that may follow a hypothesis: text from `text` on, and the time stamps from `first` to `last`.
struct AllowedTokens {
    int32_t text, first, last;
    // Whether text is suppressed if the time stamps together are more probable than any text token.
    int32_t is_contest;
};

#ifdef HALKSPEECH_CUDA

// Suppresses these tokens in all rows.
void suppress_on_gpu(ctranslate2::StorageView& logits, const std::vector<int32_t>& tokens);

// Suppresses in each row the tokens that are not allowed in it.
void suppress_others_on_gpu(
    ctranslate2::StorageView& logits, const Timestamps& timestamps, const std::vector<AllowedTokens>& rows
);

#else

inline void suppress_on_gpu(ctranslate2::StorageView&, const std::vector<int32_t>&) {}
inline void suppress_others_on_gpu(ctranslate2::StorageView&, const Timestamps&, const std::vector<AllowedTokens>&) {}

#endif

}  // namespace halkspeech
