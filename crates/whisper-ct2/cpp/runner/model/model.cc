#include "model.h"

#include <cmath>
#include <stdexcept>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <ctranslate2/models/whisper.h>
#include <ctranslate2/ops/activation.h>
#include <ctranslate2/storage_view.h>
#include <ctranslate2/vocabulary.h>

using ctranslate2::DataType;
using ctranslate2::StorageView;
using ctranslate2::models::WhisperModel;

namespace halkspeech {

namespace {

std::string layer_name(const std::string& scope, size_t i) { return scope + "/layer_" + std::to_string(i); }

void refuse(const Variables& variables, const std::string& scope, const char* const* names) {
    for (; *names != nullptr; ++names) {
        const std::string name = scope + "/" + *names;
        if (variables.find(name) != nullptr || variables.model().layer_exists(name))
            throw std::runtime_error("the model has " + name + ", which Whisper's layers do not have");
    }
}

// What changes the results of a layer or a stack, and no Whisper model has.
void check_stack(const Variables& variables, const std::string& scope) {
    static const char* const unknown[] = {
        "layernorm_embedding", "project_in", "project_out", "scale_outputs", "alibi", "sliding_window",
        "final_logit_softcapping", "start_from_zero_embedding", nullptr,
    };
    const auto is_off = [&](const std::string& name) {
        const StorageView* found = variables.find(scope + "/" + name);
        return found == nullptr
            || (found->is_scalar() && found->dtype() == DataType::INT8 && found->as_scalar<int8_t>() == 0);
    };
    for (const char* const* name = unknown; *name != nullptr; ++name) {
        if (!is_off(*name) || variables.model().layer_exists(scope + "/" + *name + "/"))
            throw std::runtime_error(
                std::string("the model has ") + scope + "/" + *name + ", which Whisper does not have"
            );
    }
    if (!variables.model().get_flag_with_default(scope + "/pre_norm", true))
        throw std::runtime_error("the model normalizes behind its layers; Whisper does before them");
}

void check_attention(const Variables& variables, const std::string& scope) {
    static const char* const unknown[] = {
        "relative_attention_bias", "relative_position_keys", "relative_position_values",
        "relative_asymmetric_position_keys", "rotary_dim", "q_norm", "k_norm", "v_norm", "memory_kv", nullptr,
    };
    refuse(variables, scope, unknown);
}

void check_outputs(const Linear& linear, int64_t outputs, const std::string& scope) {
    if (linear.outputs() != outputs) throw std::runtime_error(scope + " has not one key and value for each head");
}

Heads heads_of(const Variables& variables, const std::string& stack, int64_t width) {
    const auto& model = variables.model();
    const std::string attention = layer_name(stack, 0) + "/self_attention";
    Heads heads;
    heads.count = model.get_attribute_with_default<int32_t>(stack + "/num_heads", 8);
    heads.width = model.get_attribute_with_default<int32_t>(
        attention + "/head_dim", static_cast<int32_t>(width / heads.count)
    );
    heads.scale = model.get_attribute_with_default<float>(
        attention + "/queries_scale", 1 / std::sqrt(static_cast<float>(heads.width))
    );
    if (heads.total() != width)
        throw std::runtime_error(stack + " has heads whose widths do not add up to the model's");
    return heads;
}

float embedding_scale(const Variables& variables, int64_t width) {
    const StorageView* scale = variables.find("decoder/scale_embeddings");
    if (scale == nullptr) scale = variables.find("decoder/embeddings/multiply_by_sqrt_depth");
    if (scale == nullptr || (scale->dtype() == DataType::INT8 && scale->as_scalar<int8_t>() != 0))
        return std::sqrt(static_cast<float>(width));
    return scale->dtype() == DataType::INT8 ? 1.0f : scale->as_scalar<float>();
}

EncoderWeights encoder_weights(const Variables& variables) {
    check_stack(variables, "encoder");
    EncoderWeights weights;
    weights.convolution1 = Linear::convolution(variables, "encoder/conv1");
    weights.convolution2 = Linear::convolution(variables, "encoder/conv2");
    weights.positions = variables.floats("encoder/position_encodings/encodings");
    weights.norm = LayerNorm(variables, "encoder/layer_norm");
    weights.heads = heads_of(variables, "encoder", weights.convolution2.outputs());
    for (size_t i = 0; variables.model().layer_exists(layer_name("encoder", i)); ++i) {
        const std::string scope = layer_name("encoder", i);
        weights.layers.push_back({
            SelfAttentionLayer(variables, scope + "/self_attention"), FeedForward(variables, scope + "/ffn"),
        });
    }
    return weights;
}

DecoderWeights decoder_weights(const Variables& variables) {
    check_stack(variables, "decoder");
    const auto activation = variables.model().get_enum_value<ctranslate2::ops::ActivationType>("decoder/activation");
    if (variables.find("decoder/activation") != nullptr && activation != ctranslate2::ops::ActivationType::GELU)
        throw std::runtime_error("the decoder's activation is not GELU");
    DecoderWeights weights;
    weights.positions = variables.floats("decoder/position_encodings/encodings");
    weights.norm = LayerNorm(variables, "decoder/layer_norm");
    for (size_t i = 0; variables.model().layer_exists(layer_name("decoder", i)); ++i) {
        const std::string scope = layer_name("decoder", i);
        weights.layers.push_back({
            SelfAttentionLayer(variables, scope + "/self_attention"),
            CrossAttentionLayer(variables, scope + "/attention"), FeedForward(variables, scope + "/ffn"),
        });
    }
    const bool is_tied = &variables.at("decoder/embeddings/weight") == &variables.at("decoder/projection/weight");
    if (!is_tied) weights.embeddings = Linear(variables, "decoder/embeddings");
    weights.projection = Linear(variables, "decoder/projection");
    const int64_t width = weights.projection.inputs();
    weights.heads = heads_of(variables, "decoder", width);
    weights.embedding_scale = embedding_scale(variables, width);
    return weights;
}

std::vector<uint32_t> token_list(const WhisperModel& model, const char* name) {
    std::vector<uint32_t> tokens;
    const auto found = model.config.find(name);
    if (found == model.config.end() || found->is_null()) return tokens;
    for (const auto& id : *found) tokens.push_back(id.get<uint32_t>());
    return tokens;
}

Tokens tokens_of(const WhisperModel& model) {
    const ctranslate2::Vocabulary& vocabulary = model.get_vocabulary();
    const auto id = [&](const char* token) { return static_cast<uint32_t>(vocabulary.to_id(token)); };
    Tokens tokens;
    tokens.start_of_transcript = static_cast<uint32_t>(vocabulary.bos_id());
    tokens.end_of_text = static_cast<uint32_t>(vocabulary.eos_id());
    tokens.no_timestamps = id("<|notimestamps|>");
    tokens.no_speech = id("<|nospeech|>");
    if (tokens.no_speech == vocabulary.unk_id()) tokens.no_speech = id("<|nocaptions|>");
    const bool is_multilingual = vocabulary.to_id("") != vocabulary.unk_id();
    if (is_multilingual) tokens.languages = token_list(model, "lang_ids");
    tokens.suppressed = token_list(model, "suppress_ids");
    tokens.suppressed_at_begin = token_list(model, "suppress_ids_begin");
    return tokens;
}

void check(const Model& model) {
    const int64_t width = model.width();
    if (model.decoder.heads.total() != width || model.encoder.layers.empty() || model.decoder.layers.empty())
        throw std::runtime_error("encoder and decoder have different widths, or no layers");
    if (model.max_positions() == 0 || model.max_tokens() == 0) throw std::runtime_error("the model has no positions");
    const auto& tokens = model.tokens;
    for (const uint32_t token :
         {tokens.start_of_transcript, tokens.end_of_text, tokens.no_timestamps, tokens.no_speech}) {
        if (token >= model.vocabulary())
            throw std::runtime_error("the model's vocabulary has more tokens than its weights");
    }
    for (const auto& [layer, head] : model.alignment_heads) {
        const bool exists = layer >= 0 && layer < static_cast<int64_t>(model.decoder.layers.size()) && head >= 0
            && head < model.decoder.heads.count;
        if (!exists) throw std::runtime_error("config.json names alignment heads that the model does not have");
    }
}

}  // namespace

FeedForward::FeedForward(const Variables& variables, const std::string& scope)
    : norm(variables, scope + "/layer_norm")
    , inner(variables, scope + "/linear_0")
    , outer(variables, scope + "/linear_1") {
    static const char* const unknown[] = {"linear_0_noact", nullptr};
    refuse(variables, scope, unknown);
}

SelfAttentionLayer::SelfAttentionLayer(const Variables& variables, const std::string& scope)
    : norm(variables, scope + "/layer_norm")
    , projection(variables, scope + "/linear_0")
    , output(variables, scope + "/linear_1") {
    check_attention(variables, scope);
    check_outputs(projection, 3 * output.inputs(), scope + "/linear_0");
}

CrossAttentionLayer::CrossAttentionLayer(const Variables& variables, const std::string& scope)
    : norm(variables, scope + "/layer_norm")
    , queries(variables, scope + "/linear_0")
    , keys_and_values(variables, scope + "/linear_1")
    , output(variables, scope + "/linear_2") {
    check_attention(variables, scope);
    check_outputs(keys_and_values, 2 * queries.outputs(), scope + "/linear_1");
}

int64_t Model::bytes() const {
    int64_t bytes = encoder.convolution1.bytes() + encoder.convolution2.bytes() + decoder.embeddings.bytes()
        + decoder.projection.bytes();
    for (const auto& layer : encoder.layers)
        bytes += layer.attention.projection.bytes() + layer.attention.output.bytes()
            + layer.feed_forward.inner.bytes() + layer.feed_forward.outer.bytes();
    for (const auto& layer : decoder.layers)
        bytes += layer.attention.projection.bytes() + layer.attention.output.bytes()
            + layer.cross_attention.queries.bytes() + layer.cross_attention.keys_and_values.bytes()
            + layer.cross_attention.output.bytes() + layer.feed_forward.inner.bytes()
            + layer.feed_forward.outer.bytes();
    return bytes;
}

namespace {

std::shared_ptr<const Model> pack_model(const std::string& folder, const std::string& compute_type) {
    const auto loaded = ctranslate2::models::Model::load(
        folder, ctranslate2::Device::CPU, 0, ctranslate2::str_to_compute_type(compute_type)
    );
    const auto* whisper = dynamic_cast<const WhisperModel*>(loaded.get());
    if (whisper == nullptr) throw std::runtime_error("the model in " + folder + " is not a Whisper model");
    const Variables variables(*loaded, folder);
    auto model = std::make_shared<Model>();
    model->kernels = &kernels();
    model->encoder = encoder_weights(variables);
    model->decoder = decoder_weights(variables);
    model->tokens = tokens_of(*whisper);
    const auto heads = loaded->config.find("alignment_heads");
    if (heads != loaded->config.end() && !heads->is_null())
        model->alignment_heads = heads->get<std::vector<std::pair<int64_t, int64_t>>>();
    model->compute_type = ctranslate2::compute_type_to_str(loaded->effective_compute_type());
    check(*model);
    return model;
}

}  // namespace

std::shared_ptr<const Model> load_model(const std::string& folder, const std::string& compute_type) {
    auto model = pack_model(folder, compute_type);
#ifdef __GLIBC__
    // What the loader read and converted goes back to the system; the C library would keep much of it.
    malloc_trim(0);
#endif
    return model;
}

}  // namespace halkspeech
