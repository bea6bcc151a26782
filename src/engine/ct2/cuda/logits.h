// Scores of tokens on a card: which may not be chosen.

#pragma once

#include <cstdint>
#include <vector>

#include <ctranslate2/storage_view.h>

namespace halkspeech {

// The tokens that time stamps are made of.
struct Timestamps {
    int32_t none;         // says that there will be none
    int32_t first, last;  // all before `first` is text
};

// What may follow a hypothesis: text from `text` on, and the time stamps from `first` to `last`.
struct Allowed {
    int32_t text, first, last;
    // Whether time stamps alone may, where they are likelier altogether than any token of text.
    int32_t is_contest;
};

#ifdef HALKSPEECH_CUDA

// Bans these in all rows.
void ban_on_card(ctranslate2::StorageView& logits, const std::vector<int32_t>& tokens);

// Bans in each row what is not allowed in it.
void allow_on_card(
    ctranslate2::StorageView& logits, const Timestamps& timestamps, const std::vector<Allowed>& rows
);

#else

inline void ban_on_card(ctranslate2::StorageView&, const std::vector<int32_t>&) {}
inline void allow_on_card(ctranslate2::StorageView&, const Timestamps&, const std::vector<Allowed>&) {}

#endif

}  // namespace halkspeech
