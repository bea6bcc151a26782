// The weights of a Whisper model, packed for this processor, and what its configuration says.

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "linear.h"

namespace halkspeech {

struct FeedForward {
    LayerNorm norm;
    Linear inner, outer;

    FeedForward(const Variables& variables, const std::string& scope);
};

struct SelfAttentionLayer {
    LayerNorm norm;
    Linear projection;  // queries, keys and values of all heads
    Linear output;

    SelfAttentionLayer(const Variables& variables, const std::string& scope);
};

struct CrossAttentionLayer {
    LayerNorm norm;
    Linear queries;
    Linear keys_and_values;  // of the encoding
    Linear output;

    CrossAttentionLayer(const Variables& variables, const std::string& scope);
};

struct EncoderLayer {
    SelfAttentionLayer attention;
    FeedForward feed_forward;
};

struct DecoderLayer {
    SelfAttentionLayer attention;
    CrossAttentionLayer cross_attention;
    FeedForward feed_forward;
};

// Of an encoder's or a decoder's attention.
struct Heads {
    int64_t count, width;
    float scale;  // of queries

    int64_t total() const { return count * width; }
};

struct EncoderWeights {
    Heads heads;
    Linear convolution1, convolution2;
    std::vector<float> positions;
    std::vector<EncoderLayer> layers;
    LayerNorm norm;
};

struct DecoderWeights {
    Heads heads;
    Linear embeddings;  // empty if they are the projection's weights
    Linear projection;  // to the vocabulary
    float embedding_scale;
    std::vector<float> positions;
    std::vector<DecoderLayer> layers;
    LayerNorm norm;

    const Linear& embedding_weights() const { return embeddings.outputs() != 0 ? embeddings : projection; }
};

struct Tokens {
    uint32_t start_of_transcript, end_of_text, no_timestamps, no_speech;
    std::vector<uint32_t> languages, suppressed, suppressed_at_begin;

    uint32_t timestamp_begin() const { return no_timestamps + 1; }
};

struct Model {
    const Kernels* kernels;
    EncoderWeights encoder;
    DecoderWeights decoder;
    Tokens tokens;
    std::vector<std::pair<int64_t, int64_t>> alignment_heads;  // layer, head; empty if the model does not name any
    std::string compute_type;

    int64_t width() const { return encoder.heads.total(); }
    int64_t mels() const { return encoder.convolution1.inputs() / 3; }
    int64_t max_positions() const { return static_cast<int64_t>(encoder.positions.size()) / width(); }
    int64_t max_tokens() const { return static_cast<int64_t>(decoder.positions.size()) / width(); }
    int64_t vocabulary() const { return decoder.projection.outputs(); }
    // Whether keys and values of encodings are 16-bit floats: for 8-bit weights they are exact enough.
    bool has_half_encodings() const { return decoder.projection.is_int8(); }
    int64_t bytes() const;
};

// # Errors: what the model has and this runner does not know, by name.
std::shared_ptr<const Model> load_model(const std::string& folder, const std::string& compute_type);

}  // namespace halkspeech
