// As gemm/decoder.cc, for a card: windows of a batch may have encodings of different lengths, and nothing that was
// computed is copied from step to step. CTranslate2 copies the keys and
// values of all texts twice a token, and those of all windows whenever one of them ends. Compiled with access to private
// members.

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
constexpr dim_t most_tokens = 448;

bool is_for_us(const TransformerDecoder& decoder, dim_t step) {
    return step == 0 && is_plain(decoder) && plain(*decoder._layers.front()->_self_attention)._d_head == head_width;
}

// Where the encoding of each window is, in rows of all of them without what they are filled up with.
struct Windows {
    std::vector<int32_t> places;  // of each, the first row and how many there are
    std::vector<int32_t> rows;    // which of the filled up ones these are
    dim_t longest = 0;

    explicit Windows(const StorageView& memory) {
        StorageView found(DataType::INT32, Device::CUDA);
        measure_windows(memory, found);
        const StorageView lengths = found.to(Device::CPU);
        for (dim_t i = 0; i < memory.dim(0); ++i) {
            const int32_t length = lengths.at<int32_t>(i);
            places.insert(places.end(), {static_cast<int32_t>(rows.size()), length});
            for (int32_t t = 0; t < length; ++t) rows.push_back(static_cast<int32_t>(i * memory.dim(1)) + t);
            longest = std::max<dim_t>(longest, length);
        }
    }

    dim_t count() const { return static_cast<dim_t>(rows.size()); }
};

StorageView empty() { return StorageView(DataType::FLOAT16, Device::CUDA); }

// What the texts of a batch look back to.
class Generation {
public:
    // The thread's stream, on which memory is given back, has to be made before this and so ends after it.
    Generation() { ctranslate2::synchronize_stream(Device::CUDA); }

    // Takes the encodings. The state becomes ours.
    void begin(const TransformerDecoder& decoder, DecoderState& state, dim_t hypotheses) {
        StorageView memory = std::move(state.at("memory"));
        forget();
        const dim_t count = memory.dim(0);
        const Windows found(memory);
        longest = found.longest;
        memory.reshape({count * memory.dim(1), memory.dim(2)});
        if (found.count() < memory.dim(0)) {
            StorageView without_filling = empty();
            Gather(0)(memory, StorageView({found.count()}, found.rows, Device::CUDA), without_filling);
            memory = std::move(without_filling);
        }
        for (const auto& layer : decoder._layers) {
            windows.push_back(empty());
            plain(*layer->_encoder_attention)._linear[1](memory, windows.back());
        }
        texts.resize(decoder._layers.size());
        constexpr dim_t words = sizeof(Time) / sizeof(int32_t);
        times = StorageView({static_cast<dim_t>(texts.size()), most_tokens * words}, DataType::INT32, Device::CUDA);
        state.clear();
        state.emplace(windows_key, StorageView({count, 2}, found.places, Device::CUDA));
        state.emplace(rows_key, StorageView({hypotheses, 0}, DataType::INT32, Device::CUDA));
    }

    void forward(const TransformerDecoder& decoder, DecoderState& state, StorageView& x);

    void forget() {
        windows.clear();
        texts.clear();
        times = StorageView(DataType::INT32, Device::CUDA);
    }

private:
    std::vector<StorageView> windows;             // of each layer, [positions of all windows, k and v]
    dim_t longest = 0;                            // positions of a window, at most
    std::vector<std::vector<StorageView>> texts;  // of each layer and step, [hypotheses, tokens, k and v]
    StorageView times{DataType::INT32, Device::CUDA};  // of each layer, a `Time` for each token
};

void Generation::forward(const TransformerDecoder& decoder, DecoderState& state, StorageView& x) {
    const StorageView& places = state.at(windows_key);
    StorageView& rows = state.at(rows_key);
    const dim_t tokens = x.dim(1), seen = rows.dim(1);
    const bool is_this = rows.dim(0) == x.dim(0) && texts.size() == decoder._layers.size()
        && x.dim(0) % places.dim(0) == 0 && seen + tokens <= most_tokens;
    if (!is_this) throw std::logic_error("the state is not that of the texts that are being written");
    StorageView more(DataType::INT32, Device::CUDA);
    append_rows(rows, tokens, more);
    rows = std::move(more);

    StorageView normed = empty(), projected = empty(), queries = empty(), hidden = empty();
    StorageView context(x.shape(), DataType::FLOAT16, Device::CUDA);
    for (size_t i = 0; i < decoder._layers.size(); ++i) {
        const TransformerDecoderLayer& layer = *decoder._layers[i];
        const MultiHeadAttention& to_texts = plain(*layer._self_attention);
        auto* of_layer = reinterpret_cast<Time*>(times.index<int32_t>({static_cast<dim_t>(i), 0}));
        (*to_texts._layer_norm)(x, normed);
        to_texts._linear.front()(normed, projected);
        texts[i].push_back(empty());
        keep_text(projected, texts[i].back(), of_layer + seen);
        attend_to_texts(projected, rows, of_layer, to_texts._num_heads, to_texts._queries_scale, context);
        to_texts._linear.back()(context, hidden, &x);

        const MultiHeadAttention& to_windows = plain(*layer._encoder_attention);
        (*to_windows._layer_norm)(hidden, normed);
        to_windows._linear.front()(normed, queries);
        attend_to_windows(
            queries, places, windows[i], longest, to_windows._num_heads, to_windows._queries_scale, context
        );
        to_windows._linear.back()(context, normed, &hidden);

        layer._ff(normed, x);
    }
}

// CTranslate2 writes the texts of a batch from the first token to the last on one thread.
Generation& generation() {
    static thread_local Generation of_thread;
    return of_thread;
}

}  // namespace

bool decode_on_card(
    const TransformerDecoder& decoder, const StorageView& ids, dim_t step, DecoderState& state, StorageView* outputs,
    bool as_logits
) {
    const auto memory = state.find("memory");
    if (memory != state.end()) {
        if (!are_halves_of_card(memory->second)) return false;
        if (!is_for_us(decoder, step)) {
            const StorageView& encodings = memory->second;
            if (Windows(encodings).count() < encodings.dim(0) * encodings.dim(1))
                throw std::invalid_argument("this decoder takes encodings of one length only");
            return false;
        }
        generation().begin(decoder, state, ids.dim(0));
    } else if (state.count(rows_key) == 0) {
        return false;
    }
    StorageView x = empty();
    decoder._embeddings(ids, x);
    const bool is_prompt = ids.rank() > 1;
    if (!is_prompt) x.expand_dims(1);
    (*decoder._position_encoder)(x, step);
    generation().forward(decoder, state, x);
    if (outputs == nullptr) return true;
    (*decoder._output_norm)(x, x);
    if (as_logits)
        decoder._proj(x, *outputs);
    else
        *outputs = std::move(x);
    if (!is_prompt) outputs->squeeze(1);
    return true;
}

void forget_texts_on_card() { generation().forget(); }

}  // namespace halkspeech
