#include "weights.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "../../cuda/layer_norm.h"
#include "../backend.h"
#include "kernels.h"

namespace halkspeech::cuda {

namespace {

constexpr size_t block_bytes = size_t{64} << 20;
constexpr size_t alignment = 256;
constexpr float largest_half = 65504;
// The scores of eight rows fit into a block's shared memory (encoding_attention.cu).
constexpr int64_t max_supported_positions = 1530;
// The scores of four rows (cell_attention.cu).
constexpr int64_t max_supported_tokens = 3000;

int64_t rounded_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

// What the kernels do not know, by name.
void check_shape(const Model& model) {
    for (const Heads* heads : {&model.encoder.heads, &model.decoder.heads}) {
        if (heads->width != supported_head_width)
            throw std::runtime_error("heads of width " + std::to_string(heads->width) + " are not supported on a GPU");
    }
    // Rows begin at multiples of 256 bytes (products.h).
    if (model.width() > max_layer_norm_width || model.width() % 128 != 0)
        throw std::runtime_error("layers of width " + std::to_string(model.width()) + " are not supported on a GPU");
    if (model.mels() % 8 != 0)
        throw std::runtime_error(std::to_string(model.mels()) + " mel bins are not supported on a GPU");
    if (model.max_positions() > max_supported_positions || model.max_tokens() > max_supported_tokens)
        throw std::runtime_error("the model has more positions than are supported on a GPU");
    if (!model.decoder.projection.bias().empty())
        throw std::runtime_error("decoder/projection/bias is not supported on a GPU");
    const auto check_inner = [](const FeedForward& forward) {
        if (forward.inner.outputs() % 8 != 0 || forward.inner.bias().empty())
            throw std::runtime_error(
                "an inner layer without a bias, or of a width that is no multiple of 8, is not supported on a GPU"
            );
    };
    for (const auto& layer : model.encoder.layers) check_inner(layer.feed_forward);
    for (const auto& layer : model.decoder.layers) check_inner(layer.feed_forward);
}

}  // namespace

WeightMemory::~WeightMemory() {
    if (cudaSetDevice(stream_->device()) != cudaSuccess) return;
    for (void* block : blocks_) static_cast<void>(cudaFree(block));
}

const void* WeightMemory::copy(const void* numbers, size_t bytes) {
    const size_t needed = (bytes + alignment - 1) / alignment * alignment;
    if (needed > left_) {
        const size_t size = std::max(needed, block_bytes);
        void* block = nullptr;
        blocks_.reserve(blocks_.size() + 1);
        check(cudaMalloc(&block, size));
        blocks_.push_back(block);
        next_ = static_cast<uint8_t*>(block);
        left_ = size;
    }
    uint8_t* to = next_;
    next_ += needed;
    left_ -= needed;
    bytes_ += static_cast<int64_t>(needed);
    check(cudaMemcpyAsync(to, numbers, bytes, cudaMemcpyHostToDevice, stream_->get()));
    // The caller's array may go.
    stream_->synchronize();
    return to;
}

const __half* WeightMemory::add_halves(const std::vector<float>& numbers, const std::string& name) {
    if (numbers.empty()) return nullptr;
    std::vector<__half> halves(numbers.size());
    for (size_t i = 0; i < numbers.size(); ++i) {
        if (!(std::abs(numbers[i]) <= largest_half))
            throw std::runtime_error(name + " has a number that is too large for a GPU");
        halves[i] = __float2half_rn(numbers[i]);
    }
    return static_cast<const __half*>(copy(halves.data(), halves.size() * sizeof(__half)));
}

const float* WeightMemory::add_floats(const std::vector<float>& numbers) {
    return static_cast<const float*>(copy(numbers.data(), numbers.size() * sizeof(float)));
}

Matrix WeightMemory::add(const Linear& linear, const std::string& name, int64_t outputs) {
    const int64_t n = std::max(outputs, linear.outputs()), k = linear.inputs();
    std::vector<float> rows(static_cast<size_t>(n * k));
    for (int64_t i = 0; i < linear.outputs(); ++i) linear.weights_of(i, rows.data() + i * k);
    const __half* weights = add_halves(rows, name + "/weight");
    return {n, k, weights, add_halves(linear.bias(), name + "/bias")};
}

Norm WeightMemory::add(const LayerNorm& norm, const std::string& name) {
    return {add_halves(norm.gamma, name + "/gamma"), add_halves(norm.beta, name + "/beta"), norm.epsilon};
}

GpuModel::GpuModel(const Model& model, SharedStream of_loading) : stream(of_loading), memory(std::move(of_loading)) {
    check_shape(model);
    cudaDeviceProp properties;
    check(cudaGetDeviceProperties(&properties, stream->device()));
    has_sm90 = properties.major == 9;
    info = {};
    describe_model(model, info);
    tokens = model.tokens;
    alignment_heads = model.alignment_heads;
    encoder_heads = model.encoder.heads;
    decoder_heads = model.decoder.heads;
    mels = model.mels();
    max_positions = model.max_positions();
    max_tokens = model.max_tokens();
    vocabulary = model.vocabulary();

    const auto feed_forward = [&](const FeedForward& layer, const std::string& name) -> GpuFeedForward {
        return {
            memory.add(layer.norm, name + "/layer_norm"), memory.add(layer.inner, name + "/linear_0"),
            memory.add(layer.outer, name + "/linear_1"),
        };
    };
    convolution1 = memory.add(model.encoder.convolution1, "encoder/conv1");
    convolution2 = memory.add(model.encoder.convolution2, "encoder/conv2");
    encoder_positions = memory.add_floats(model.encoder.positions);
    for (size_t i = 0; i < model.encoder.layers.size(); ++i) {
        const EncoderLayer& layer = model.encoder.layers[i];
        const std::string name = "encoder/layer_" + std::to_string(i);
        encoder_layers.push_back({
            memory.add(layer.attention.norm, name), memory.add(layer.attention.projection, name),
            memory.add(layer.attention.output, name), feed_forward(layer.feed_forward, name + "/ffn"),
        });
    }
    encoder_norm = memory.add(model.encoder.norm, "encoder/layer_norm");

    projection = memory.add(model.decoder.projection, "decoder/projection", rounded_up(vocabulary, 8));
    const bool is_tied = model.decoder.embeddings.outputs() == 0;
    embeddings = is_tied ? projection : memory.add(model.decoder.embeddings, "decoder/embeddings");
    embeddings.outputs = model.decoder.embedding_weights().outputs();
    embedding_scale = model.decoder.embedding_scale;
    decoder_positions = memory.add_floats(model.decoder.positions);
    for (size_t i = 0; i < model.decoder.layers.size(); ++i) {
        const DecoderLayer& layer = model.decoder.layers[i];
        const std::string name = "decoder/layer_" + std::to_string(i);
        decoder_layers.push_back({
            memory.add(layer.attention.norm, name), memory.add(layer.attention.projection, name),
            memory.add(layer.attention.output, name), memory.add(layer.cross_attention.norm, name),
            memory.add(layer.cross_attention.queries, name), memory.add(layer.cross_attention.keys_and_values, name),
            memory.add(layer.cross_attention.output, name), feed_forward(layer.feed_forward, name + "/ffn"),
        });
    }
    decoder_norm = memory.add(model.decoder.norm, "decoder/layer_norm");
    info.weight_bytes = static_cast<uint64_t>(memory.bytes());
    info.compute_type = "float16";
    info.kernels = has_sm90 ? "cuda sm_90a" : "cuda";
}

}  // namespace halkspeech::cuda
