// The functions of cuBLASLt, which is opened at run time.

#pragma once

#include <cublasLt.h>
#include <dlfcn.h>

namespace halkspeech {

// cuBLASLt, a library that comes with cuBLAS; opened at its first use, as CTranslate2 opens cuBLAS.
struct CublasLt {
    template <typename Function>
    void find(Function& function, const char* name) {
        function = handle == nullptr ? nullptr : reinterpret_cast<Function>(dlsym(handle, name));
        is_complete = is_complete && function != nullptr;
    }

    CublasLt() {
        find(create, "cublasLtCreate");
        find(destroy, "cublasLtDestroy");
        find(create_product, "cublasLtMatmulDescCreate");
        find(destroy_product, "cublasLtMatmulDescDestroy");
        find(set_product, "cublasLtMatmulDescSetAttribute");
        find(create_layout, "cublasLtMatrixLayoutCreate");
        find(destroy_layout, "cublasLtMatrixLayoutDestroy");
        find(create_preference, "cublasLtMatmulPreferenceCreate");
        find(destroy_preference, "cublasLtMatmulPreferenceDestroy");
        find(set_preference, "cublasLtMatmulPreferenceSetAttribute");
        find(select_algorithm, "cublasLtMatmulAlgoGetHeuristic");
        find(multiply, "cublasLtMatmul");
    }

    void* handle = dlopen("libcublasLt.so.13", RTLD_NOW);
    bool is_complete = true;
    decltype(&cublasLtCreate) create;
    decltype(&cublasLtDestroy) destroy;
    decltype(&cublasLtMatmulDescCreate) create_product;
    decltype(&cublasLtMatmulDescDestroy) destroy_product;
    decltype(&cublasLtMatmulDescSetAttribute) set_product;
    decltype(&cublasLtMatrixLayoutCreate) create_layout;
    decltype(&cublasLtMatrixLayoutDestroy) destroy_layout;
    decltype(&cublasLtMatmulPreferenceCreate) create_preference;
    decltype(&cublasLtMatmulPreferenceDestroy) destroy_preference;
    decltype(&cublasLtMatmulPreferenceSetAttribute) set_preference;
    decltype(&cublasLtMatmulAlgoGetHeuristic) select_algorithm;
    decltype(&cublasLtMatmul) multiply;
};

inline const CublasLt& cublas_lt() {
    static const CublasLt instance;
    return instance;
}

}  // namespace halkspeech
