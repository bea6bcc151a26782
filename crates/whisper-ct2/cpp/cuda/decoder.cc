// As gemm/decoder.cc, for a GPU: windows of a batch may have encodings of different lengths, and keys and values are
// not copied from step to step. CTranslate2 copies those of all hypotheses twice per token, and those of all windows
// whenever one of them ends. Compiled with access to private members.

#include "decoder.h"

#include <algorithm>
#include <stdexcept>
#include <vector>

#include <ctranslate2/devices.h>
#include <ctranslate2/ops/gather.h>

#include "../gemm/plain.h"
#include "attention.h"

using ctranslate2::DataType;
using ctranslate2::Device;
using ctranslate2::dim_t;
using ctranslate2::StorageView;
using ctranslate2::layers::DecoderState;
using ctranslate2::layers::MultiHeadAttention;
using ctranslate2::layers::TransformerDecoder;
using ctranslate2::layers::TransformerDecoderLayer;
using ctranslate2::ops::Gather;

namespace halkspeech {

namespace {

constexpr dim_t head_width = 64;
// Whisper's text context.
constexpr dim_t max_tokens = 448;

bool is_supported(const TransformerDecoder& decoder, dim_t step) {
    return step == 0 && is_plain(decoder) && plain(*decoder._layers.front()->_self_attention)._d_head == head_width;
}

// The rows of each window's encoding without padding.
struct EncodingRows {
    std::vector<int32_t> ranges;  // for each window, the first row and the number of rows
    std::vector<int32_t> rows;    // their indices among the padded rows
    dim_t max_length = 0;

    explicit EncodingRows(const StorageView& encodings) {
        StorageView gpu_lengths(DataType::INT32, Device::CUDA);
        measure_encodings(encodings, gpu_lengths);
        const StorageView lengths = gpu_lengths.to(Device::CPU);
        for (dim_t i = 0; i < encodings.dim(0); ++i) {
            const int32_t length = lengths.at<int32_t>(i);
            ranges.insert(ranges.end(), {static_cast<int32_t>(rows.size()), length});
            for (int32_t t = 0; t < length; ++t) rows.push_back(static_cast<int32_t>(i * encodings.dim(1)) + t);
            max_length = std::max<dim_t>(max_length, length);
        }
    }

    dim_t count() const { return static_cast<dim_t>(rows.size()); }
};

StorageView empty() { return StorageView(DataType::FLOAT16, Device::CUDA); }

// The keys and values of a batch.
class DecoderCache {
public:
    // Creates the thread's stream first, so that it is destroyed after the memory that is freed on it.
    DecoderCache() { ctranslate2::synchronize_stream(Device::CUDA); }

    // Computes the keys and values of the encodings, and replaces the contents of the state.
    void begin(const TransformerDecoder& decoder, DecoderState& state, dim_t hypotheses) {
        StorageView encodings = std::move(state.at("memory"));
        clear();
        const dim_t windows = encodings.dim(0);
        const EncodingRows encoding_rows(encodings);
        max_length = encoding_rows.max_length;
        encodings.reshape({windows * encodings.dim(1), encodings.dim(2)});
        if (encoding_rows.count() < encodings.dim(0)) {
            StorageView unpadded = empty();
            const StorageView indices({encoding_rows.count()}, encoding_rows.rows, Device::CUDA);
            Gather(0)(encodings, indices, unpadded);
            encodings = std::move(unpadded);
        }
        for (const auto& layer : decoder._layers) {
            cross_keys_values.push_back(empty());
            plain(*layer->_encoder_attention)._linear[1](encodings, cross_keys_values.back());
        }
        self_keys_values.resize(decoder._layers.size());
        constexpr dim_t words = sizeof(KeyValueRows) / sizeof(int32_t);
        locations = StorageView(
            {static_cast<dim_t>(self_keys_values.size()), max_tokens * words}, DataType::INT32, Device::CUDA
        );
        state.clear();
        state.emplace(windows_key, StorageView({windows, 2}, encoding_rows.ranges, Device::CUDA));
        state.emplace(rows_key, StorageView({hypotheses, 0}, DataType::INT32, Device::CUDA));
    }

    void forward(const TransformerDecoder& decoder, DecoderState& state, StorageView& x);

    void clear() {
        cross_keys_values.clear();
        self_keys_values.clear();
        locations = StorageView(DataType::INT32, Device::CUDA);
    }

private:
    std::vector<StorageView> cross_keys_values;  // for each layer, [positions of all windows, k and v]
    dim_t max_length = 0;                        // maximum number of positions of a window
    std::vector<std::vector<StorageView>> self_keys_values;  // for each layer and step, [hypotheses, tokens, k and v]
    StorageView locations{DataType::INT32, Device::CUDA};    // for each layer, `KeyValueRows` of each token
};

void DecoderCache::forward(const TransformerDecoder& decoder, DecoderState& state, StorageView& x) {
    const StorageView& ranges = state.at(windows_key);
    StorageView& rows = state.at(rows_key);
    const dim_t tokens = x.dim(1), previous_tokens = rows.dim(1);
    const bool is_current = rows.dim(0) == x.dim(0) && self_keys_values.size() == decoder._layers.size()
        && x.dim(0) % ranges.dim(0) == 0 && previous_tokens + tokens <= max_tokens;
    if (!is_current) throw std::logic_error("the state does not belong to the current generation");
    StorageView extended_rows(DataType::INT32, Device::CUDA);
    append_rows(rows, tokens, extended_rows);
    rows = std::move(extended_rows);

    StorageView normed = empty(), projected = empty(), queries = empty(), hidden = empty();
    StorageView context(x.shape(), DataType::FLOAT16, Device::CUDA);
    for (size_t i = 0; i < decoder._layers.size(); ++i) {
        const TransformerDecoderLayer& layer = *decoder._layers[i];
        const MultiHeadAttention& self = plain(*layer._self_attention);
        auto* layer_locations
            = reinterpret_cast<KeyValueRows*>(locations.index<int32_t>({static_cast<dim_t>(i), 0}));
        (*self._layer_norm)(x, normed);
        self._linear.front()(normed, projected);
        self_keys_values[i].push_back(empty());
        store_keys_values(projected, self_keys_values[i].back(), layer_locations + previous_tokens);
        attend_to_hypotheses(projected, rows, layer_locations, self._num_heads, self._queries_scale, context);
        self._linear.back()(context, hidden, &x);

        const MultiHeadAttention& cross = plain(*layer._encoder_attention);
        (*cross._layer_norm)(hidden, normed);
        cross._linear.front()(normed, queries);
        attend_to_encodings(
            queries, ranges, cross_keys_values[i], max_length, cross._num_heads, cross._queries_scale, context
        );
        cross._linear.back()(context, normed, &hidden);

        layer._ff(normed, x);
    }
}

// CTranslate2 generates a batch on one thread, from the first token to the last.
DecoderCache& decoder_cache() {
    static thread_local DecoderCache cache;
    return cache;
}

}  // namespace

bool decode_on_gpu(
    const TransformerDecoder& decoder, const StorageView& ids, dim_t step, DecoderState& state, StorageView* outputs,
    bool as_logits
) {
    const auto memory = state.find("memory");
    if (memory != state.end()) {
        const StorageView& encodings = memory->second;
        if (!is_float16_on_gpu(encodings)) return false;
        if (!is_supported(decoder, step)) {
            if (EncodingRows(encodings).count() < encodings.dim(0) * encodings.dim(1))
                throw std::invalid_argument("this decoder takes encodings of one length only");
            return false;
        }
        decoder_cache().begin(decoder, state, ids.dim(0));
    } else if (state.count(rows_key) == 0) {
        return false;
    }
    StorageView x = empty();
    decoder._embeddings(ids, x);
    const bool is_prompt = ids.rank() > 1;
    if (!is_prompt) x.expand_dims(1);
    (*decoder._position_encoder)(x, step);
    decoder_cache().forward(decoder, state, x);
    if (outputs == nullptr) return true;
    (*decoder._output_norm)(x, x);
    if (as_logits)
        decoder._proj(x, *outputs);
    else
        *outputs = std::move(x);
    if (!is_prompt) outputs->squeeze(1);
    return true;
}

void release_decoder_cache_on_gpu() { decoder_cache().clear(); }

}  // namespace halkspeech
