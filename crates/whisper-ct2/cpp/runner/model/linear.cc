#include "linear.h"

#include <stdexcept>

#include <ctranslate2/models/model.h>
#include <ctranslate2/storage_view.h>

#include "stored.h"
#include "threads.h"

using ctranslate2::DataType;
using ctranslate2::StorageView;

namespace halkspeech {

const StorageView* Variables::find(const std::string& name) const { return model_.get_variable_if_exists(name); }

const StorageView& Variables::at(const std::string& name) const {
    const StorageView* found = find(name);
    if (found == nullptr) throw std::runtime_error("the model has no variable " + name);
    return *found;
}

std::vector<float> Variables::floats(const std::string& name) const {
    const StorageView& variable = at(name);
    const StorageView numbers = variable.dtype() == DataType::FLOAT32 ? variable : variable.to_float32();
    return std::vector<float>(numbers.data<float>(), numbers.data<float>() + numbers.size());
}

// The variables themselves are not constant, only CTranslate2's access to them; nobody reads them afterwards.
void Variables::release(const StorageView& variable) { const_cast<StorageView&>(variable).release(); }

Linear::Linear(const Variables& variables, const std::string& scope)
    : kernels_(&kernels()), round_(variables.model().round_before_cast_in_quantization()) {
    const StorageView& weight = variables.at(scope + "/weight");
    if (weight.rank() != 2) throw std::runtime_error(scope + "/weight is not a matrix");
    n_ = weight.dim(0);
    k_ = weight.dim(1);
    if (variables.find(scope + "/bias") != nullptr) bias_ = variables.floats(scope + "/bias");
    if (!bias_.empty() && static_cast<int64_t>(bias_.size()) != n_)
        throw std::runtime_error(scope + "/bias has another size than the weights");
    if (weight.dtype() == DataType::FLOAT32) {
        floats_ = Buffer<float>(kernels_->floats.packed_size(n_, k_));
        kernels_->floats.pack(n_, k_, weight.data<float>(), floats_.data());
    } else if (weight.dtype() == DataType::INT8) {
        scales_ = variables.floats(scope + "/weight_scale");
        if (scales_.size() == 1) scales_.assign(static_cast<size_t>(n_), scales_.front());
        if (static_cast<int64_t>(scales_.size()) != n_)
            throw std::runtime_error(scope + "/weight_scale has another size than the weights");
        int8_ = Buffer<int8_t>(kernels_->int8.packed_size(n_, k_));
        kernels_->int8.pack(n_, k_, weight.data<int8_t>(), int8_.data());
    } else {
        throw std::runtime_error(scope + "/weight is of a type that the CPU does not multiply");
    }
    Variables::release(weight);
}

namespace {

// The weights of a convolution in 32-bit floats. The loader quantizes them to 8 bits for back ends that multiply them
// so; this runner does not, and takes them as they are stored.
StorageView convolution_weights(const Variables& variables, const std::string& scope) {
    const StorageView& loaded = variables.at(scope + "/weight");
    if (loaded.dtype() == DataType::FLOAT32) return loaded;
    const StorageView stored = stored_variable(variables.folder(), scope + "/weight");
    if (stored.dtype() != DataType::INT8) return stored.to_float32();
    const std::vector<float> scales = variables.floats(scope + "/weight_scale");
    const int64_t outputs = stored.dim(0);
    if (static_cast<int64_t>(scales.size()) != outputs)
        throw std::runtime_error(scope + "/weight_scale has another size than the weights");
    StorageView floats(stored.shape(), DataType::FLOAT32);
    const int64_t each = stored.size() / outputs;
    for (int64_t i = 0; i < stored.size(); ++i)
        floats.data<float>()[i] =
            static_cast<float>(stored.data<int8_t>()[i]) * (1 / scales[static_cast<size_t>(i / each)]);
    return floats;
}

}  // namespace

Linear Linear::convolution(const Variables& variables, const std::string& scope) {
    const StorageView weight = convolution_weights(variables, scope);
    if (weight.rank() != 3 || weight.dim(2) != 3)
        throw std::runtime_error(scope + "/weight is not a convolution of three taps");
    const int64_t n = weight.dim(0), inputs = weight.dim(1), taps = weight.dim(2);
    Buffer<float> rows(n * inputs * taps);
    float* to = rows.data();
    for (int64_t j = 0; j < n; ++j) {
        for (int64_t tap = 0; tap < taps; ++tap) {
            for (int64_t c = 0; c < inputs; ++c) *to++ = weight.data<float>()[(j * inputs + c) * taps + tap];
        }
    }
    Linear linear;
    linear.kernels_ = &kernels();
    linear.n_ = n;
    linear.k_ = inputs * taps;
    linear.bias_ = variables.floats(scope + "/bias");
    linear.floats_ = Buffer<float>(linear.kernels_->floats.packed_size(n, linear.k_));
    linear.kernels_->floats.pack(n, linear.k_, rows.data(), linear.floats_.data());
    Variables::release(variables.at(scope + "/weight"));
    return linear;
}

void Linear::operator()(const Rows& x, float* y, bool gelu, const float* residual) const {
    multiply(n_, x, {bias_.empty() ? nullptr : bias_.data(), gelu, residual, y, n_});
}

void Linear::first(int64_t n, const Rows& x, float* y) const {
    multiply(n, x, {bias_.empty() ? nullptr : bias_.data(), false, nullptr, y, n});
}

void Linear::multiply(int64_t n, const Rows& x, const Epilogue& y) const {
    if (is_int8())
        kernels_->int8.multiply(n, x, round_, int8_.data(), scales_.data(), y);
    else
        multiply_floats(*kernels_, n, x, floats_.data(), y);
}

void Linear::weights_of(int64_t output, float* row) const {
    if (!is_int8()) return kernels_->floats.unpack_row(k_, floats_.data(), output, row);
    std::vector<int8_t> bytes(static_cast<size_t>(k_));
    kernels_->int8.unpack_row(k_, int8_.data(), output, bytes.data());
    const float factor = 1 / scales_[static_cast<size_t>(output)];
    for (int64_t p = 0; p < k_; ++p) row[p] = static_cast<float>(bytes[static_cast<size_t>(p)]) * factor;
}

LayerNorm::LayerNorm(const Variables& variables, const std::string& scope)
    : gamma(variables.floats(scope + "/gamma")), beta(variables.floats(scope + "/beta")) {
    const auto& config = variables.model().config;
    const auto found = config.find("layer_norm_epsilon");
    epsilon = found == config.end() || found->is_null() ? 1e-5f : found->get<float>();
}

void LayerNorm::operator()(int64_t rows, const float* x, float* y) const {
    const auto n = static_cast<int64_t>(gamma.size());
    const Kernels& table = kernels();
    // A few rows at a time.
    constexpr int64_t at_once = 8;
    parallel_for((rows + at_once - 1) / at_once, [&](int64_t block, int) {
        for (int64_t i = block * at_once; i < rows && i < (block + 1) * at_once; ++i)
            table.layer_norm(n, x + i * n, gamma.data(), beta.data(), epsilon, y + i * n);
    });
}

}  // namespace halkspeech
