// Whisper's decoder on 16-bit floats of a card, one token or a prompt at a time.

#pragma once

#include <ctranslate2/layers/decoder.h>
#include <ctranslate2/layers/transformer.h>

namespace halkspeech {

#ifdef HALKSPEECH_CUDA

// As `TransformerDecoder::decode`. False where it is not for us.
bool decode_on_card(
    const ctranslate2::layers::TransformerDecoder& decoder, const ctranslate2::StorageView& ids, ctranslate2::dim_t step,
    ctranslate2::layers::DecoderState& state, ctranslate2::StorageView* outputs, bool as_logits
);

// Gives back what the texts of this thread looked back to, once they are written.
void forget_texts_on_card();

#else

inline bool decode_on_card(
    const ctranslate2::layers::TransformerDecoder&, const ctranslate2::StorageView&, ctranslate2::dim_t,
    ctranslate2::layers::DecoderState&, ctranslate2::StorageView*, bool
) {
    return false;
}
inline void forget_texts_on_card() {}

#endif

}  // namespace halkspeech
