// The weights of a model on a GPU, in 16-bit floats.

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <cuda_fp16.h>

#include "../model/model.h"
#include "../runner.h"
#include "stream.h"

namespace halkspeech::cuda {

// [outputs, inputs] with a bias [outputs], or null; `outputs` of the projection to the vocabulary are rounded up to a
// multiple of 8 by rows of zeros.
struct Matrix {
    int64_t outputs, inputs;
    const __half* weights;
    const __half* bias;
};

struct Norm {
    const __half* gamma;
    const __half* beta;
    float epsilon;
};

struct GpuFeedForward {
    Norm norm;
    Matrix inner, outer;
};

struct GpuEncoderLayer {
    Norm norm;
    Matrix projection, output;
    GpuFeedForward feed_forward;
};

struct GpuDecoderLayer {
    Norm norm;
    Matrix projection, output;
    Norm cross_norm;
    Matrix queries, keys_and_values, cross_output;
    GpuFeedForward feed_forward;
};

// Copies arrays to a GPU once; they stay until it is destroyed.
class WeightMemory {
public:
    explicit WeightMemory(SharedStream stream) : stream_(std::move(stream)) {}
    ~WeightMemory();
    WeightMemory(const WeightMemory&) = delete;
    WeightMemory& operator=(const WeightMemory&) = delete;

    // # Errors: a number is too large for 16 bits; `name` is the array's.
    const __half* add_halves(const std::vector<float>& numbers, const std::string& name);
    const float* add_floats(const std::vector<float>& numbers);
    // With rows of zeros behind those of the layer.
    Matrix add(const Linear& linear, const std::string& name, int64_t outputs = 0);
    Norm add(const LayerNorm& norm, const std::string& name);

    int64_t bytes() const { return bytes_; }

private:
    const void* copy(const void* numbers, size_t bytes);

    SharedStream stream_;
    std::vector<void*> blocks_;
    size_t left_ = 0;
    uint8_t* next_ = nullptr;
    int64_t bytes_ = 0;
};

// A model without the weights of a CPU.
struct GpuModel {
    // From a model in the host's memory, which is no longer needed afterwards.
    GpuModel(const Model& model, SharedStream stream);

    int64_t width() const { return encoder_heads.total(); }

    SharedStream stream;  // that of loading
    WeightMemory memory;
    bool has_sm90;
    hs_model_info info;  // without pointers
    Tokens tokens;
    std::vector<std::pair<int64_t, int64_t>> alignment_heads;  // layer, head

    Heads encoder_heads, decoder_heads;
    int64_t mels, max_positions, max_tokens, vocabulary;
    Matrix convolution1, convolution2;  // [width, 3 * inputs]: three taps
    const float* encoder_positions;
    std::vector<GpuEncoderLayer> encoder_layers;
    Norm encoder_norm;
    Matrix embeddings, projection;
    float embedding_scale;
    const float* decoder_positions;
    std::vector<GpuDecoderLayer> decoder_layers;
    Norm decoder_norm;
};

}  // namespace halkspeech::cuda
