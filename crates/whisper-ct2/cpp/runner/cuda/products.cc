#include "products.h"

#include <map>
#include <string>
#include <tuple>

#include "../../cuda/cublas_lt.h"
#include "memory.h"

namespace halkspeech::cuda {

namespace {

// Workspace in bytes; cuBLAS recommends this size for compute capability 9.0.
constexpr size_t workspace_bytes = 32 << 20;

constexpr uintptr_t alignment = 256;

void check(cublasStatus_t status, const char* what) {
    if (status == CUBLAS_STATUS_SUCCESS) return;
    const std::string message = std::string("cuBLAS failed with status ") + std::to_string(status) + ": " + what;
    if (status == CUBLAS_STATUS_ALLOC_FAILED) throw DeviceOutOfMemory(message);
    throw std::runtime_error(message);
}

std::string shape_of(const Product& product) {
    return std::to_string(product.rows) + " x " + std::to_string(product.outputs) + " x "
        + std::to_string(product.width);
}

// The description of a product for cuBLAS, which is column-major: a row-major [rows, width] is its [width, rows].
class Description {
public:
    explicit Description(const Product& product) {
        const CublasLt& lt = cublas_lt();
        const bool is_float = product.sums != nullptr;
        const cudaDataType_t type = is_float ? CUDA_R_32F : CUDA_R_16F;
        check(lt.create_product(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F), "description");
        set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
        if (product.bias != nullptr) {
            set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
            set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(product.bias));
        }
        const auto layout = [&](cublasLtMatrixLayout_t& made, cudaDataType_t of, int64_t lines, int64_t columns,
                                int64_t ld) {
            check(
                lt.create_layout(&made, of, static_cast<uint64_t>(lines), static_cast<uint64_t>(columns), ld), "layout"
            );
        };
        layout(weights, CUDA_R_16F, product.width, product.outputs, product.ld_weights);
        layout(input, CUDA_R_16F, product.width, product.rows, product.ld_input);
        layout(output, type, product.outputs, product.rows, product.outputs);
    }
    ~Description() {
        const CublasLt& lt = cublas_lt();
        for (const auto layout : {weights, input, output}) {
            if (layout != nullptr) lt.destroy_layout(layout);
        }
        if (operation != nullptr) lt.destroy_product(operation);
    }
    Description(const Description&) = delete;
    Description& operator=(const Description&) = delete;

    cublasLtMatmulDesc_t operation = nullptr;
    cublasLtMatrixLayout_t weights = nullptr, input = nullptr, output = nullptr;

private:
    template <typename Value>
    void set(cublasLtMatmulDescAttributes_t attribute, const Value& value) {
        check(cublas_lt().set_product(operation, attribute, &value, sizeof value), "attribute");
    }
};

class Preference {
public:
    Preference() {
        check(cublas_lt().create_preference(&preference), "preference");
        set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace_bytes);
        // Parts of a sum are added in 32 bits, never in those of the output.
        set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, static_cast<uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
    }
    ~Preference() {
        if (preference != nullptr) cublas_lt().destroy_preference(preference);
    }
    Preference(const Preference&) = delete;
    Preference& operator=(const Preference&) = delete;

    cublasLtMatmulPreference_t preference = nullptr;

private:
    template <typename Value>
    void set(cublasLtMatmulPreferenceAttributes_t attribute, const Value& value) {
        check(cublas_lt().set_preference(preference, attribute, &value, sizeof value), "preference");
    }
};

// What an algorithm is selected by.
using Key = std::tuple<int64_t, int64_t, int64_t, int64_t, int64_t, bool, bool, bool>;

Key key_of(const Product& product) {
    return {
        product.rows, product.outputs, product.width, product.ld_input, product.ld_weights, product.bias != nullptr,
        product.residual != nullptr || product.adds, product.sums != nullptr,
    };
}

}  // namespace

struct Products::State {
    explicit State(SharedStream shared) : stream(std::move(shared)), workspace(stream, workspace_bytes) {}
    ~State() {
        if (handle != nullptr) cublas_lt().destroy(handle);
    }

    const cublasLtMatmulAlgo_t& algorithm(const Product& product, const Description& description) {
        const Key key = key_of(product);
        const auto found = algorithms.find(key);
        if (found != algorithms.end()) return found->second;
        const Preference preference;
        cublasLtMatmulHeuristicResult_t selected = {};
        int count = 0;
        const cublasStatus_t status = cublas_lt().select_algorithm(
            handle, description.operation, description.weights, description.input, description.output,
            description.output, preference.preference, 1, &selected, &count
        );
        if (status != CUBLAS_STATUS_SUCCESS || count == 0)
            throw std::runtime_error("cuBLAS does not support the product " + shape_of(product));
        return algorithms.emplace(key, selected.algo).first->second;
    }

    SharedStream stream;
    DeviceBuffer<uint8_t> workspace;
    cublasLtHandle_t handle = nullptr;
    std::map<Key, cublasLtMatmulAlgo_t> algorithms;
};

Products::Products(SharedStream stream) {
    stream->enter();
    if (!cublas_lt().is_complete)
        throw std::runtime_error("Library libcublasLt.so.13 is not found or cannot be loaded");
    state_ = std::make_unique<State>(std::move(stream));
    check(cublas_lt().create(&state_->handle), "handle");
}

Products::~Products() = default;

void Products::multiply(const Product& product) {
    if (product.rows == 0) return;
    const void* output = product.sums != nullptr ? static_cast<const void*>(product.sums) : product.output;
    for (const void* pointer :
         {static_cast<const void*>(product.input), static_cast<const void*>(product.weights), output,
          static_cast<const void*>(product.residual), static_cast<const void*>(product.bias)}) {
        if (reinterpret_cast<uintptr_t>(pointer) % alignment != 0)
            throw std::logic_error("a matrix of the product " + shape_of(product) + " is not aligned");
    }
    const Description description(product);
    const cublasLtMatmulAlgo_t& algorithm = state_->algorithm(product, description);
    const float alpha = 1, beta = product.residual != nullptr || product.adds ? 1.0f : 0.0f;
    const void* added = product.residual != nullptr ? static_cast<const void*>(product.residual) : output;
    check(
        cublas_lt().multiply(
            state_->handle, description.operation, &alpha, product.weights, description.weights, product.input,
            description.input, &beta, added, description.output, const_cast<void*>(output), description.output,
            &algorithm, state_->workspace.data(), workspace_bytes, state_->stream->get()
        ),
        "product"
    );
}

}  // namespace halkspeech::cuda
