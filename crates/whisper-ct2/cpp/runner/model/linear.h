// Layers with packed weights.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "../kernels/kernels.h"
#include "buffer.h"

namespace ctranslate2 {
class StorageView;
namespace models {
class Model;
}
}  // namespace ctranslate2

namespace halkspeech {

// The variables of a model that CTranslate2 has read. They are packed one by one, and released.
class Variables {
public:
    // `folder` is the one that the model was read from.
    Variables(const ctranslate2::models::Model& model, const std::string& folder) : model_(model), folder_(folder) {}

    const ctranslate2::StorageView* find(const std::string& name) const;
    const ctranslate2::StorageView& at(const std::string& name) const;
    // A copy, in 32-bit floats; of one number if it is a scalar.
    std::vector<float> floats(const std::string& name) const;
    // Frees the memory of a variable that is not needed any more.
    static void release(const ctranslate2::StorageView& variable);

    const ctranslate2::models::Model& model() const { return model_; }
    const std::string& folder() const { return folder_; }

private:
    const ctranslate2::models::Model& model_;
    const std::string& folder_;
};

// Y = X * W^T + bias.
class Linear {
public:
    Linear() = default;
    // The layer of this name: weights, their scales where they are 8-bit numbers, and a bias where it has one.
    Linear(const Variables& variables, const std::string& scope);
    // A convolution of three taps, as a product of three neighbouring rows, [taps, inputs].
    static Linear convolution(const Variables& variables, const std::string& scope);

    int64_t outputs() const { return n_; }
    int64_t inputs() const { return k_; }
    int64_t bytes() const { return floats_.bytes() + int8_.bytes(); }
    bool is_int8() const { return int8_.size() != 0; }
    // Empty where the layer has none.
    const std::vector<float>& bias() const { return bias_; }

    // On the calling thread's OpenMP threads. `residual` and `y` have rows of `outputs`.
    void operator()(const Rows& x, float* y, bool gelu = false, const float* residual = nullptr) const;
    // Only the first n outputs.
    void first(int64_t n, const Rows& x, float* y) const;
    // A row of the weights.
    void weights_of(int64_t output, float* row) const;

private:
    void multiply(int64_t n, const Rows& x, const Epilogue& y) const;

    const Kernels* kernels_ = nullptr;
    int64_t n_ = 0, k_ = 0;
    bool round_ = true;
    Buffer<float> floats_;
    Buffer<int8_t> int8_;
    std::vector<float> scales_, bias_;
};

struct LayerNorm {
    std::vector<float> gamma, beta;
    float epsilon = 0;

    LayerNorm() = default;
    LayerNorm(const Variables& variables, const std::string& scope);

    // For rows of as many numbers as `gamma` has.
    void operator()(int64_t rows, const float* x, float* y) const;
};

}  // namespace halkspeech
