#include "dense.h"

#include <map>
#include <tuple>

#include <cublasLt.h>
#include <dlfcn.h>

#include <cuda/utils.h>
#include <ctranslate2/storage_view.h>

using ctranslate2::DataType;
using ctranslate2::Device;
using ctranslate2::StorageView;

namespace halkspeech {

namespace {

// What cuBLAS recommends for compute capability 9.0, in bytes.
constexpr size_t workspace_size = 32 << 20;

// The library comes with cuBLAS, which CTranslate2 opens when it first needs it. So do we with this one.
struct Library {
    template <typename Function>
    void find(Function& function, const char* name) {
        function = opened == nullptr ? nullptr : reinterpret_cast<Function>(dlsym(opened, name));
        is_whole = is_whole && function != nullptr;
    }

    Library() {
        find(create, "cublasLtCreate");
        find(create_product, "cublasLtMatmulDescCreate");
        find(destroy_product, "cublasLtMatmulDescDestroy");
        find(set_product, "cublasLtMatmulDescSetAttribute");
        find(create_layout, "cublasLtMatrixLayoutCreate");
        find(destroy_layout, "cublasLtMatrixLayoutDestroy");
        find(create_preference, "cublasLtMatmulPreferenceCreate");
        find(destroy_preference, "cublasLtMatmulPreferenceDestroy");
        find(set_preference, "cublasLtMatmulPreferenceSetAttribute");
        find(choose, "cublasLtMatmulAlgoGetHeuristic");
        find(multiply, "cublasLtMatmul");
    }

    void* opened = dlopen("libcublasLt.so.13", RTLD_NOW);
    bool is_whole = true;
    decltype(&cublasLtCreate) create;
    decltype(&cublasLtMatmulDescCreate) create_product;
    decltype(&cublasLtMatmulDescDestroy) destroy_product;
    decltype(&cublasLtMatmulDescSetAttribute) set_product;
    decltype(&cublasLtMatrixLayoutCreate) create_layout;
    decltype(&cublasLtMatrixLayoutDestroy) destroy_layout;
    decltype(&cublasLtMatmulPreferenceCreate) create_preference;
    decltype(&cublasLtMatmulPreferenceDestroy) destroy_preference;
    decltype(&cublasLtMatmulPreferenceSetAttribute) set_preference;
    decltype(&cublasLtMatmulAlgoGetHeuristic) choose;
    decltype(&cublasLtMatmul) multiply;
};

const Library& library() {
    static const Library of_process;
    return of_process;
}

// A product as cuBLAS describes it. It counts columns first: our [rows, width] is its [width, rows].
struct Product {
    Product(const DenseShape& shape, bool has_bias) {
        const Library& lt = library();
        const cublasOperation_t transposed = CUBLAS_OP_T;
        const cublasLtEpilogue_t behind = has_bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
        const auto rows = static_cast<uint64_t>(shape.rows), outputs = static_cast<uint64_t>(shape.outputs);
        const auto width = static_cast<uint64_t>(shape.width);
        is_made = lt.create_product(&description, CUBLAS_COMPUTE_32F, CUDA_R_32F) == CUBLAS_STATUS_SUCCESS
            && set(CUBLASLT_MATMUL_DESC_TRANSA, transposed) && set(CUBLASLT_MATMUL_DESC_EPILOGUE, behind)
            && lt.create_layout(&weights, CUDA_R_16F, width, outputs, shape.width) == CUBLAS_STATUS_SUCCESS
            && lt.create_layout(&input, CUDA_R_16F, width, rows, shape.width) == CUBLAS_STATUS_SUCCESS
            && lt.create_layout(&output, CUDA_R_16F, outputs, rows, shape.outputs) == CUBLAS_STATUS_SUCCESS;
    }

    ~Product() {
        const Library& lt = library();
        for (const auto layout : {weights, input, output}) {
            if (layout != nullptr) lt.destroy_layout(layout);
        }
        if (description != nullptr) lt.destroy_product(description);
    }

    Product(const Product&) = delete;
    Product& operator=(const Product&) = delete;

    template <typename Value>
    bool set(cublasLtMatmulDescAttributes_t attribute, const Value& value) {
        return library().set_product(description, attribute, &value, sizeof value) == CUBLAS_STATUS_SUCCESS;
    }

    bool is_made = false;
    cublasLtMatmulDesc_t description = nullptr;
    cublasLtMatrixLayout_t weights = nullptr, input = nullptr, output = nullptr;
};

// What this thread has chosen before.
class Choices {
public:
    Choices() {
        const Library& lt = library();
        if (!lt.is_whole || lt.create(&handle) != CUBLAS_STATUS_SUCCESS) handle = nullptr;
    }

    // Null where there is no way.
    const cublasLtMatmulAlgo_t* of(const DenseShape& shape, bool has_bias, bool has_residual, const Product& product) {
        const auto key = std::make_tuple(shape.rows, shape.outputs, shape.width, has_bias, has_residual);
        const auto known = chosen.find(key);
        if (known != chosen.end()) return known->second.state == CUBLAS_STATUS_SUCCESS ? &known->second.algo : nullptr;
        const Library& lt = library();
        cublasLtMatmulPreference_t preference = nullptr;
        if (lt.create_preference(&preference) != CUBLAS_STATUS_SUCCESS) return nullptr;
        cublasLtMatmulHeuristicResult_t found = {};
        int count = 0;
        const bool has_found = lt.set_preference(
                                   preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace_size,
                                   sizeof workspace_size
                               ) == CUBLAS_STATUS_SUCCESS
            && lt.choose(
                   handle, product.description, product.weights, product.input, product.output, product.output,
                   preference, 1, &found, &count
               ) == CUBLAS_STATUS_SUCCESS
            && count > 0;
        lt.destroy_preference(preference);
        if (!has_found) found.state = CUBLAS_STATUS_NOT_SUPPORTED;
        const auto& kept = chosen.emplace(key, found).first->second;
        return kept.state == CUBLAS_STATUS_SUCCESS ? &kept.algo : nullptr;
    }

    cublasLtHandle_t handle = nullptr;

private:
    std::map<std::tuple<int64_t, int64_t, int64_t, bool, bool>, cublasLtMatmulHeuristicResult_t> chosen;
};

}  // namespace

bool dense_on_card(
    const DenseShape& shape, const void* input, const void* weights, const void* bias, const void* residual, void* output
) {
    static thread_local Choices choices;
    if (choices.handle == nullptr) return false;
    Product product(shape, bias != nullptr);
    if (!product.is_made) return false;
    if (bias != nullptr && !product.set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias)) return false;
    const cublasLtMatmulAlgo_t* way = choices.of(shape, bias != nullptr, residual != nullptr, product);
    if (way == nullptr) return false;
    StorageView workspace({static_cast<int64_t>(workspace_size)}, DataType::INT8, Device::CUDA);
    const float one = 1, behind = residual == nullptr ? 0 : 1;
    const cublasStatus_t status = library().multiply(
        choices.handle, product.description, &one, weights, product.weights, input, product.input, &behind,
        residual == nullptr ? output : residual, product.output, output, product.output, way, workspace.buffer(),
        workspace_size, ctranslate2::cuda::get_cuda_stream()
    );
    return status == CUBLAS_STATUS_SUCCESS;
}

}  // namespace halkspeech
