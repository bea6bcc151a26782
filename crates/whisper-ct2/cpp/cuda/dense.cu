#include "dense.h"

#include <map>
#include <tuple>

#include <cuda/utils.h>
#include <ctranslate2/storage_view.h>

#include "cublas_lt.h"

using ctranslate2::DataType;
using ctranslate2::Device;
using ctranslate2::StorageView;

namespace halkspeech {

namespace {

// Workspace in bytes; cuBLAS recommends this size for compute capability 9.0.
constexpr size_t workspace_size = 32 << 20;

// The description of a product for cuBLAS, which is column-major: a row-major [rows, width] is its [width, rows].
struct Product {
    Product(const DenseShape& shape, bool has_bias) {
        const CublasLt& lt = cublas_lt();
        const cublasOperation_t transposed = CUBLAS_OP_T;
        const cublasLtEpilogue_t epilogue = has_bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
        const auto rows = static_cast<uint64_t>(shape.rows), outputs = static_cast<uint64_t>(shape.outputs);
        const auto width = static_cast<uint64_t>(shape.width);
        is_created = lt.create_product(&description, CUBLAS_COMPUTE_32F, CUDA_R_32F) == CUBLAS_STATUS_SUCCESS
            && set(CUBLASLT_MATMUL_DESC_TRANSA, transposed) && set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue)
            && lt.create_layout(&weights, CUDA_R_16F, width, outputs, shape.width) == CUBLAS_STATUS_SUCCESS
            && lt.create_layout(&input, CUDA_R_16F, width, rows, shape.width) == CUBLAS_STATUS_SUCCESS
            && lt.create_layout(&output, CUDA_R_16F, outputs, rows, shape.outputs) == CUBLAS_STATUS_SUCCESS;
    }

    ~Product() {
        const CublasLt& lt = cublas_lt();
        for (const auto layout : {weights, input, output}) {
            if (layout != nullptr) lt.destroy_layout(layout);
        }
        if (description != nullptr) lt.destroy_product(description);
    }

    Product(const Product&) = delete;
    Product& operator=(const Product&) = delete;

    template <typename Value>
    bool set(cublasLtMatmulDescAttributes_t attribute, const Value& value) {
        return cublas_lt().set_product(description, attribute, &value, sizeof value) == CUBLAS_STATUS_SUCCESS;
    }

    bool is_created = false;
    cublasLtMatmulDesc_t description = nullptr;
    cublasLtMatrixLayout_t weights = nullptr, input = nullptr, output = nullptr;
};

// A thread's cuBLASLt handle, and the algorithms it has selected.
class AlgorithmCache {
public:
    AlgorithmCache() {
        const CublasLt& lt = cublas_lt();
        if (!lt.is_complete || lt.create(&handle) != CUBLAS_STATUS_SUCCESS) handle = nullptr;
    }

    // The algorithm for a product; null if there is none.
    const cublasLtMatmulAlgo_t* get(const DenseShape& shape, bool has_bias, bool has_residual, const Product& product) {
        const auto key = std::make_tuple(shape.rows, shape.outputs, shape.width, has_bias, has_residual);
        const auto cached = results.find(key);
        if (cached != results.end())
            return cached->second.state == CUBLAS_STATUS_SUCCESS ? &cached->second.algo : nullptr;
        const CublasLt& lt = cublas_lt();
        cublasLtMatmulPreference_t preference = nullptr;
        if (lt.create_preference(&preference) != CUBLAS_STATUS_SUCCESS) return nullptr;
        cublasLtMatmulHeuristicResult_t selected = {};
        int count = 0;
        const bool is_selected = lt.set_preference(
                                   preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace_size,
                                   sizeof workspace_size
                               ) == CUBLAS_STATUS_SUCCESS
            && lt.select_algorithm(
                   handle, product.description, product.weights, product.input, product.output, product.output,
                   preference, 1, &selected, &count
               ) == CUBLAS_STATUS_SUCCESS
            && count > 0;
        lt.destroy_preference(preference);
        if (!is_selected) selected.state = CUBLAS_STATUS_NOT_SUPPORTED;
        const auto& result = results.emplace(key, selected).first->second;
        return result.state == CUBLAS_STATUS_SUCCESS ? &result.algo : nullptr;
    }

    cublasLtHandle_t handle = nullptr;

private:
    std::map<std::tuple<int64_t, int64_t, int64_t, bool, bool>, cublasLtMatmulHeuristicResult_t> results;
};

}  // namespace

bool dense_on_gpu(
    const DenseShape& shape, const void* input, const void* weights, const void* bias, const void* residual,
    void* output
) {
    static thread_local AlgorithmCache cache;
    if (cache.handle == nullptr) return false;
    Product product(shape, bias != nullptr);
    if (!product.is_created) return false;
    if (bias != nullptr && !product.set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias)) return false;
    const cublasLtMatmulAlgo_t* algorithm = cache.get(shape, bias != nullptr, residual != nullptr, product);
    if (algorithm == nullptr) return false;
    StorageView workspace({static_cast<int64_t>(workspace_size)}, DataType::INT8, Device::CUDA);
    const float alpha = 1, beta = residual == nullptr ? 0 : 1;
    const cublasStatus_t status = cublas_lt().multiply(
        cache.handle, product.description, &alpha, weights, product.weights, input, product.input, &beta,
        residual == nullptr ? output : residual, product.output, output, product.output, algorithm,
        workspace.buffer(), workspace_size, ctranslate2::cuda::get_cuda_stream()
    );
    return status == CUBLAS_STATUS_SUCCESS;
}

}  // namespace halkspeech
