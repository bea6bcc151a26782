// Whisper's decoder on floats of a processor, one token or a prompt at a time. Windows of a batch may have encodings of
// different lengths, nothing that was computed is copied from step to step, and keys and values of the encodings are
// packed once for all tokens. The linker puts it in the place of CTranslate2's (build.rs), which does what ours does
// not take. Compiled with access to private members.
//
// What a text looks back to stays where it was first written, in `Generation`. The state that CTranslate2 parts and
// orders as hypotheses come and go holds only where that is: for each window its number, and for each hypothesis the
// row of each of its tokens. So nobody tells when a batch has ended: what there was of it is dropped when the next one
// begins, or with the thread.

#include <omp.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <ctranslate2/layers/attention.h>
#include <ctranslate2/layers/decoder.h>
#include <ctranslate2/layers/transformer.h>

#include "../cuda/decoder.h"
#include "attention.h"
#include "avx2.h"
#include "plain.h"

using ctranslate2::DataType;
using ctranslate2::Device;
using ctranslate2::dim_t;
using ctranslate2::StorageView;
using ctranslate2::layers::DecoderState;
using ctranslate2::layers::MultiHeadAttention;
using ctranslate2::layers::TransformerDecoder;
using ctranslate2::layers::TransformerDecoderLayer;
using halkspeech::CrossAttention;
using halkspeech::Half;
using halkspeech::is_float32_on_cpu;
using halkspeech::is_plain;
using halkspeech::plain;
using halkspeech::rows_key;
using halkspeech::windows_key;

namespace {

// Positions of a window's encoding; behind them stand rows of zeros, which no encoding has.
int64_t length_of(const float* encoding, int64_t most, int64_t width) {
    const auto is_zero = [](float x) { return x == 0; };
    while (most > 0 && std::all_of(encoding + (most - 1) * width, encoding + most * width, is_zero)) --most;
    return most;
}

bool differ_in_length(const StorageView& memory) {
    const int64_t most = memory.dim(1), width = memory.dim(2);
    for (dim_t i = 0; i < memory.dim(0); ++i) {
        if (length_of(memory.data<float>() + i * most * width, most, width) < most) return true;
    }
    return false;
}

// What the texts of a batch look back to.
class Generation {
public:
    // Packs the encodings. The state becomes ours.
    void begin(const TransformerDecoder& decoder, DecoderState& state) {
        const StorageView memory = std::move(state.at("memory"));
        number += 1;
        windows.clear();
        times.clear();
        projected.clear();
        projected.resize(decoder._layers.size());
        const int64_t most = memory.dim(1), width = memory.dim(2);
        for (dim_t i = 0; i < memory.dim(0); ++i) {
            const float* encoding = memory.data<float>() + i * most * width;
            windows.push_back(packed(decoder, length_of(encoding, most, width), encoding, width));
        }
        StorageView numbers({memory.dim(0), 2}, DataType::INT32);
        for (dim_t i = 0; i < memory.dim(0); ++i) {
            numbers.at<int32_t>({i, 0}) = static_cast<int32_t>(i);
            numbers.at<int32_t>({i, 1}) = number;
        }
        state.clear();
        state.emplace(windows_key, std::move(numbers));
        state.emplace(rows_key, StorageView({memory.dim(0), 0}, DataType::INT32));
    }

    // Rows [hypotheses, tokens] of the decoder's input get tokens, each behind those of its hypothesis.
    void forward(const TransformerDecoder& decoder, DecoderState& state, StorageView& rows);

private:
    struct Window {
        int64_t length;
        std::vector<std::unique_ptr<Half[]>> layers;
    };

    // Where the tokens of a moment are in their step's projections.
    struct Time {
        size_t step;
        int64_t offset, ld;
    };

    static CrossAttention shape_of(const TransformerDecoder& decoder, size_t layer) {
        const auto& attention = plain(*decoder._layers[layer]->_encoder_attention);
        return {attention._num_heads, attention._d_head, attention._queries_scale};
    }

    static Window packed(const TransformerDecoder& decoder, int64_t length, const float* encoding, int64_t width) {
        Window window{length, {}};
        const StorageView input({1, length, width}, const_cast<float*>(encoding));
        StorageView keys_and_values;
        for (size_t i = 0; i < decoder._layers.size(); ++i) {
            const CrossAttention shape = shape_of(decoder, i);
            plain(*decoder._layers[i]->_encoder_attention)._linear[1](input, keys_and_values);
            window.layers.emplace_back(new Half[static_cast<size_t>(shape.packed_size(length))]);
            shape.pack(length, keys_and_values.data<float>(), window.layers.back().get());
        }
        return window;
    }

    StorageView rows_with(const StorageView& before, int64_t tokens) const;
    void attend_to_texts(
        const MultiHeadAttention& attention, size_t layer, const StorageView& rows, int64_t tokens, StorageView& context
    ) const;
    void attend_to_windows(
        const CrossAttention& shape, size_t layer, const StorageView& numbers, const StorageView& queries,
        StorageView& context
    ) const;

    int32_t number = 0;
    std::vector<Window> windows;
    std::vector<Time> times;
    std::vector<std::vector<StorageView>> projected;  // of each layer and step, [hypotheses, tokens, q, k and v]
};

// The rows of each hypothesis, and the row that each has in a step of so many tokens.
StorageView Generation::rows_with(const StorageView& before, int64_t tokens) const {
    const int64_t hypotheses = before.dim(0), old = before.dim(1);
    StorageView rows({hypotheses, old + tokens}, DataType::INT32);
    for (int64_t i = 0; i < hypotheses; ++i) {
        int32_t* row = rows.data<int32_t>() + i * (old + tokens);
        std::copy_n(before.data<int32_t>() + i * old, old, row);
        std::fill_n(row + old, tokens, static_cast<int32_t>(i));
    }
    return rows;
}

void Generation::attend_to_texts(
    const MultiHeadAttention& attention, size_t layer, const StorageView& rows, int64_t tokens, StorageView& context
) const {
    const int64_t hypotheses = rows.dim(0), all = rows.dim(1);
    const int64_t width = attention._num_heads * attention._d_head;
    std::vector<const float*> keys(static_cast<size_t>(hypotheses * all));
    for (int64_t i = 0; i < hypotheses; ++i) {
        for (int64_t t = 0; t < all; ++t) {
            const auto& [step, offset, ld] = times[static_cast<size_t>(t)];
            const int64_t row = rows.data<int32_t>()[i * all + t];
            keys[static_cast<size_t>(i * all + t)] = projected[layer][step].data<float>() + row * ld + offset + width;
        }
    }
    const float* queries = projected[layer].back().data<float>();
    const int64_t memory = all + halkspeech::tile_columns;
    std::vector<float> memories(static_cast<size_t>(omp_get_max_threads() * memory));
    #pragma omp parallel for schedule(static) if (omp_get_max_threads() > 1)
    for (int64_t i = 0; i < hypotheses * tokens; ++i) {
        // Of a prompt's tokens each sees those before it, and itself.
        const int64_t seen = all - tokens + i % tokens + 1;
        halkspeech::attend_to_rows(
            seen, attention._num_heads, attention._d_head, attention._queries_scale, queries + i * 3 * width,
            keys.data() + i / tokens * all, width, context.data<float>() + i * width,
            memories.data() + omp_get_thread_num() * memory
        );
    }
}

void Generation::attend_to_windows(
    const CrossAttention& shape, size_t layer, const StorageView& numbers, const StorageView& queries,
    StorageView& context
) const {
    const int64_t count = numbers.dim(0), width = shape.heads * shape.width;
    const int64_t m = queries.size() / width / count;
    const auto shorter = [](const Window& a, const Window& b) { return a.length < b.length; };
    const int64_t memory = shape.workspace_size(std::max_element(windows.begin(), windows.end(), shorter)->length);
    std::vector<float> memories(static_cast<size_t>(omp_get_max_threads() * memory));
    #pragma omp parallel for schedule(dynamic) if (omp_get_max_threads() > 1)
    for (int64_t one = 0; one < count * shape.heads; ++one) {
        const int64_t i = one / shape.heads;
        const Window& window = windows[static_cast<size_t>(numbers.data<int32_t>()[2 * i])];
        shape.attend(
            one % shape.heads, m, window.length, queries.data<float>() + i * m * width, window.layers[layer].get(),
            context.data<float>() + i * m * width, memories.data() + omp_get_thread_num() * memory
        );
    }
}

void Generation::forward(const TransformerDecoder& decoder, DecoderState& state, StorageView& x) {
    const StorageView& numbers = state.at(windows_key);
    StorageView& rows = state.at(rows_key);
    const int64_t tokens = x.dim(1), width = x.dim(2);
    const bool is_this = numbers.at<int32_t>({0, 1}) == number && rows.dim(0) == x.dim(0)
        && static_cast<size_t>(rows.dim(1)) == times.size() && x.dim(0) % numbers.dim(0) == 0;
    if (!is_this) throw std::logic_error("the state is not that of the texts that are being written");
    const size_t step = projected.front().size();
    for (int64_t t = 0; t < tokens; ++t) times.push_back({step, t * 3 * width, tokens * 3 * width});
    rows = rows_with(rows, tokens);

    StorageView normed, queries, hidden, context(x.shape(), DataType::FLOAT32);
    for (size_t i = 0; i < decoder._layers.size(); ++i) {
        const TransformerDecoderLayer& layer = *decoder._layers[i];
        const MultiHeadAttention& to_texts = plain(*layer._self_attention);
        (*to_texts._layer_norm)(x, normed);
        projected[i].emplace_back();
        to_texts._linear.front()(normed, projected[i].back());
        attend_to_texts(to_texts, i, rows, tokens, context);
        to_texts._linear.back()(context, hidden, &x);

        const MultiHeadAttention& to_windows = plain(*layer._encoder_attention);
        (*to_windows._layer_norm)(hidden, normed);
        to_windows._linear.front()(normed, queries);
        attend_to_windows(shape_of(decoder, i), i, numbers, queries, context);
        to_windows._linear.back()(context, normed, &hidden);

        layer._ff(normed, x);
    }
}

// False where it is not for us.
bool decode(
    const TransformerDecoder& decoder, const StorageView& ids, dim_t step, DecoderState& state, StorageView* outputs,
    bool as_logits
) {
    // CTranslate2 writes the texts of a batch from the first token to the last on one thread.
    static thread_local Generation generation;
    if (ids.device() == Device::CUDA) return halkspeech::decode_on_gpu(decoder, ids, step, state, outputs, as_logits);
    const auto memory = state.find("memory");
    if (memory != state.end()) {
        if (!is_float32_on_cpu(memory->second)) return false;
        if (!halkspeech::has_avx2() || step != 0 || !is_plain(decoder)) {
            if (differ_in_length(memory->second))
                throw std::invalid_argument("this decoder takes encodings of one length only");
            return false;
        }
        generation.begin(decoder, state);
    } else if (state.count(rows_key) == 0) {
        return false;
    }
    StorageView x;
    decoder._embeddings(ids, x);
    const bool is_prompt = ids.rank() > 1;
    if (!is_prompt) x.expand_dims(1);
    (*decoder._position_encoder)(x, step);
    generation.forward(decoder, state, x);
    if (outputs == nullptr) return true;
    (*decoder._output_norm)(x, x);
    if (as_logits)
        decoder._proj(x, *outputs);
    else
        *outputs = std::move(x);
    if (!is_prompt) outputs->squeeze(1);
    return true;
}

// What CTranslate2 does by itself on a card needs the memory of the texts that are written.
void make_room_for(const StorageView& ids) {
    if (ids.device() == Device::CUDA) halkspeech::release_decoder_cache_on_gpu();
}

}  // namespace

extern "C" {

// Whether encodings of a batch may have different lengths.
bool halkspeech_supports_mixed_lengths() { return halkspeech::has_avx2(); }

void __real__ZN11ctranslate26layers18TransformerDecoder6decodeERKNS_11StorageViewEPS3_lRSt13unordered_mapINSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEES2_St4hashISC_ESt8equal_toISC_ESaISt4pairIKSC_S2_EEEPS2_SN_b(
    TransformerDecoder*, const StorageView&, const StorageView*, dim_t, DecoderState&, StorageView*, StorageView*, bool
);
// void TransformerDecoder::decode(
//     const StorageView&, const StorageView*, dim_t, DecoderState&, StorageView*, StorageView*, bool)
void __wrap__ZN11ctranslate26layers18TransformerDecoder6decodeERKNS_11StorageViewEPS3_lRSt13unordered_mapINSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEES2_St4hashISC_ESt8equal_toISC_ESaISt4pairIKSC_S2_EEEPS2_SN_b(
    TransformerDecoder* decoder, const StorageView& ids, const StorageView* lengths, dim_t step, DecoderState& state,
    StorageView* outputs, StorageView* attention, bool as_logits
) {
    if (lengths == nullptr && attention == nullptr && decode(*decoder, ids, step, state, outputs, as_logits)) return;
    make_room_for(ids);
    __real__ZN11ctranslate26layers18TransformerDecoder6decodeERKNS_11StorageViewEPS3_lRSt13unordered_mapINSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEES2_St4hashISC_ESt8equal_toISC_ESaISt4pairIKSC_S2_EEEPS2_SN_b(
        decoder, ids, lengths, step, state, outputs, attention, as_logits
    );
}

void __real__ZN11ctranslate26layers18TransformerDecoderclElRKNS_11StorageViewERSt13unordered_mapINSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEES2_St4hashISB_ESt8equal_toISB_ESaISt4pairIKSB_S2_EEEPS2_SM_(
    TransformerDecoder*, dim_t, const StorageView&, DecoderState&, StorageView*, StorageView*
);
// void TransformerDecoder::operator()(dim_t, const StorageView&, DecoderState&, StorageView*, StorageView*)
void __wrap__ZN11ctranslate26layers18TransformerDecoderclElRKNS_11StorageViewERSt13unordered_mapINSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEES2_St4hashISB_ESt8equal_toISB_ESaISt4pairIKSB_S2_EEEPS2_SM_(
    TransformerDecoder* decoder, dim_t step, const StorageView& ids, DecoderState& state, StorageView* logits,
    StorageView* attention
) {
    if (attention == nullptr && decode(*decoder, ids, step, state, logits, true)) return;
    make_room_for(ids);
    __real__ZN11ctranslate26layers18TransformerDecoderclElRKNS_11StorageViewERSt13unordered_mapINSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEES2_St4hashISB_ESt8equal_toISB_ESaISt4pairIKSB_S2_EEEPS2_SM_(
        decoder, step, ids, state, logits, attention
    );
}

}  // extern "C"
