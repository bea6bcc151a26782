// Whisper's decoder with 16-bit floats on a GPU, for one token or a prompt at a time.

#pragma once

#include <ctranslate2/layers/decoder.h>
#include <ctranslate2/layers/transformer.h>

namespace halkspeech {

#ifdef HALKSPEECH_CUDA

// As `TransformerDecoder::decode`. Returns false if it does not support the decoder or the input.
bool decode_on_gpu(
    const ctranslate2::layers::TransformerDecoder& decoder, const ctranslate2::StorageView& ids,
    ctranslate2::dim_t step, ctranslate2::layers::DecoderState& state, ctranslate2::StorageView* outputs, bool as_logits
);

// Frees the keys and values of this thread's last generation.
void release_decoder_cache_on_gpu();

#else

inline bool decode_on_gpu(
    const ctranslate2::layers::TransformerDecoder&, const ctranslate2::StorageView&, ctranslate2::dim_t,
    ctranslate2::layers::DecoderState&, ctranslate2::StorageView*, bool
) {
    return false;
}
inline void release_decoder_cache_on_gpu() {}

#endif

}  // namespace halkspeech
