// Which of CTranslate2's layers and decoders the project's own ones support. For files that are compiled with access to
// private members.

#pragma once

#include <algorithm>
#include <memory>
#include <string>

#include <ctranslate2/layers/attention.h>
#include <ctranslate2/layers/transformer.h>
#include <ctranslate2/storage_view.h>

#include "attention.h"

namespace halkspeech {

inline bool is_float32_on_cpu(const ctranslate2::StorageView& x) {
    return x.device() == ctranslate2::Device::CPU && x.dtype() == ctranslate2::DataType::FLOAT32;
}

inline bool is_float16_on_gpu(const ctranslate2::StorageView& x) {
    return x.device() == ctranslate2::Device::CUDA && x.dtype() == ctranslate2::DataType::FLOAT16;
}

// The layer as Whisper's attention (each head with its own keys and values, after a layer norm), or null.
inline const ctranslate2::layers::MultiHeadAttention* plain_attention(
    const ctranslate2::layers::AttentionLayer* layer
) {
    const auto* attention = dynamic_cast<const ctranslate2::layers::MultiHeadAttention*>(layer);
    if (attention == nullptr) return nullptr;
    const bool is_plain = !attention->has_positional_embeddings() && !attention->_q_norm && !attention->_k_norm
        && !attention->_v_norm && attention->_relative_asymmetric_position_keys == nullptr
        && attention->_relative_position_values == nullptr && attention->_layer_norm && attention->_pre_norm
        && attention->_num_heads_kv == attention->_num_heads && !attention->_tensor_parallel
        && attention->_sliding_window == 0 && attention->_d_head % tile_columns == 0;
    return is_plain ? attention : nullptr;
}

// Keys of the state. CTranslate2 treats entries that begin with "memory" as shared by all hypotheses of a window.
inline const std::string windows_key = "memory_windows";  // [windows, 2], identifies each window to the decoder
inline const std::string rows_key = "rows";               // [hypotheses, tokens], the row of each token in its step

// For layers of a decoder that `is_plain`.
inline const ctranslate2::layers::MultiHeadAttention& plain(const ctranslate2::layers::AttentionLayer& layer) {
    return static_cast<const ctranslate2::layers::MultiHeadAttention&>(layer);
}

inline bool is_plain(const ctranslate2::layers::TransformerDecoder& decoder) {
    const bool is_plain_outside = !decoder._start_from_zero_embedding && !decoder._embeddings_scale
        && !decoder._outputs_scale && !decoder._layernorm_embedding && decoder._output_norm && !decoder._project_in
        && !decoder._project_out && !decoder._alibi && decoder._position_encoder && decoder._with_encoder_attention
        && decoder._sliding_window == 0 && !decoder._tensor_parallel && decoder._final_logit_softcapping == 0;
    const auto is_plain_layer = [](const std::unique_ptr<const ctranslate2::layers::TransformerDecoderLayer>& layer) {
        return !layer->_shared_layer_norm && !layer->_input_layer_norm && !layer->_post_attention_layer_norm
            && !layer->_pre_feedforward_layer_norm && !layer->_post_feedforward_layer_norm
            && !layer->_has_merged_encoder_attention && plain_attention(layer->_self_attention.get()) != nullptr
            && plain_attention(layer->_encoder_attention.get()) != nullptr;
    };
    return is_plain_outside && std::all_of(decoder._layers.begin(), decoder._layers.end(), is_plain_layer);
}

}  // namespace halkspeech
