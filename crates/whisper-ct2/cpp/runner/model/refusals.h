// What encoders and decoders of all devices refuse.

#pragma once

#include <cstdint>
#include <stdexcept>
#include <vector>

namespace halkspeech {

inline void refuse_if(bool is_refused, const char* reason) {
    if (is_refused) throw std::invalid_argument(reason);
}

inline void check_encoding(bool is_of_model) { refuse_if(!is_of_model, "the encoding is another model's"); }

// Of a model with `positions` positions of the encoder.
inline void check_frames(int64_t frames, int64_t positions) {
    refuse_if(frames < 1 || frames > 2 * positions, "a window has no frames, or too many");
}

// Of a token at the end of a text of `length` tokens.
inline void check_input(uint32_t token, int64_t tokens_of_model, int64_t length, int64_t max_tokens) {
    refuse_if(length > max_tokens, "a text is longer than the model's positions");
    refuse_if(token >= tokens_of_model, "a token is unknown");
}

inline void check_languages(const std::vector<uint32_t>& languages) {
    refuse_if(languages.empty(), "the model knows one language only");
}

}  // namespace halkspeech
