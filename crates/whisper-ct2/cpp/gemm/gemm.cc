// Matrix products of CTranslate2 on an x86-64 processor, done faster. The linker puts the functions that begin with
// `__wrap_` in the place of CTranslate2's (build.rs), of which this version's headers are the declarations.
//
// 1. 8-bit weights are packed once, when a model is loaded, instead of at every product (int8.h). CTranslate2 does so
//    with MKL only; its own switch for that, `pack_gemm_weights`, is turned on here. What is made of the products is
//    in layers.cc and decoder.cc.
// 2. oneDNN gives a product up for want of memory, and CTranslate2 does not look: it would go on with whatever lay
//    there, and write down another text. Products that were given up are counted, for the engine to ask.
// 3. oneDNN makes its kernels once in a process; one that it had no memory for then is never made. So they are made at
//    the start.

#include <omp.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <vector>

#include <ctranslate2/devices.h>
#include <ctranslate2/primitives.h>
#include <ctranslate2/storage_view.h>
#include <ctranslate2/types.h>

#include "attention.h"
#include "avx2.h"
#include "int8.h"
#include "threads.h"

using ctranslate2::ComputeType;
using ctranslate2::DataType;
using ctranslate2::Device;
using ctranslate2::dim_t;
using Cpu = ctranslate2::primitives<Device::CPU>;

// Declared in CTranslate2's own sources only.
namespace ctranslate2::cpu {
bool pack_gemm_weights(ComputeType type);
}

using halkspeech::Int8Kernels;
using halkspeech::has_avx2;
using halkspeech::ThreadCountScope;

namespace {

const Int8Kernels& int8_kernels() {
    return halkspeech::only_has_avx2() ? halkspeech::avx2_int8_kernels : halkspeech::onednn_int8_kernels;
}

// ---- Products that oneDNN gives up --------------------------------------------------------------------------------

// Of the whole process: a product may run in any thread of OpenMP, which an exception must not leave.
std::atomic<uint64_t> given_up{0};

int looked_at(int status) {
    if (status != 0) ++given_up;
    return status;
}

}  // namespace

extern "C" {

// oneDNN's, as CTranslate2 calls them.
int __real_dnnl_sgemm(
    char, char, dim_t, dim_t, dim_t, float, const float*, dim_t, const float*, dim_t, float, float*, dim_t
);
int __wrap_dnnl_sgemm(
    char transa, char transb, dim_t m, dim_t n, dim_t k, float alpha, const float* a, dim_t lda, const float* b,
    dim_t ldb, float beta, float* c, dim_t ldc
) {
    return looked_at(__real_dnnl_sgemm(transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc));
}

int __real_dnnl_gemm_u8s8s32(
    char, char, char, dim_t, dim_t, dim_t, float, const uint8_t*, dim_t, uint8_t, const int8_t*, dim_t, int8_t, float,
    int32_t*, dim_t, const int32_t*
);
int __wrap_dnnl_gemm_u8s8s32(
    char transa, char transb, char offsetc, dim_t m, dim_t n, dim_t k, float alpha, const uint8_t* a, dim_t lda,
    uint8_t ao, const int8_t* b, dim_t ldb, int8_t bo, float beta, int32_t* c, dim_t ldc, const int32_t* co
) {
    return looked_at(__real_dnnl_gemm_u8s8s32(
        transa, transb, offsetc, m, n, k, alpha, a, lda, ao, b, ldb, bo, beta, c, ldc, co
    ));
}

int __real_dnnl_gemm_s8s8s32(
    char, char, char, dim_t, dim_t, dim_t, float, const int8_t*, dim_t, int8_t, const int8_t*, dim_t, int8_t, float,
    int32_t*, dim_t, const int32_t*
);
int __wrap_dnnl_gemm_s8s8s32(
    char transa, char transb, char offsetc, dim_t m, dim_t n, dim_t k, float alpha, const int8_t* a, dim_t lda,
    int8_t ao, const int8_t* b, dim_t ldb, int8_t bo, float beta, int32_t* c, dim_t ldc, const int32_t* co
) {
    return looked_at(__real_dnnl_gemm_s8s8s32(
        transa, transb, offsetc, m, n, k, alpha, a, lda, ao, b, ldb, bo, beta, c, ldc, co
    ));
}

// How many products oneDNN has given up since the process began.
uint64_t halkspeech_gemm_failures() { return given_up; }

// Has oneDNN make the kernels of all products that CTranslate2 asks of it; false where it could not.
bool halkspeech_create_kernels() {
    const ThreadCountScope one(1);
    // So small that oneDNN reads the floats in place, with kernels of their own; it makes the others for any product.
    constexpr dim_t side = 32;
    constexpr size_t size = side * side;
    static const float floats[size] = {};
    static const int8_t bytes[size] = {};
    float products[size];
    int32_t sums[size];
    const int32_t compensation[side] = {};
    const uint64_t before = given_up;
    __wrap_dnnl_sgemm('N', 'N', side, side, side, 1.0f, floats, side, floats, side, 0.0f, products, side);
    __wrap_dnnl_gemm_s8s8s32(
        'N', 'N', 'F', side, side, side, 1.0f, bytes, side, 0, bytes, side, 0, 0.0f, sums, side, compensation
    );
    __wrap_dnnl_gemm_u8s8s32(
        'N', 'N', 'R', side, side, side, 1.0f, reinterpret_cast<const uint8_t*>(bytes), side, 0, bytes, side, 0, 0.0f,
        sums, side, compensation
    );
    return given_up == before;
}

// How many threads the model that this thread loads next will run on.
void halkspeech_set_packing_threads(int threads) { halkspeech::set_packing_threads(threads); }

// bool ctranslate2::cpu::pack_gemm_weights(ComputeType)
bool __wrap__ZN11ctranslate23cpu17pack_gemm_weightsENS_11ComputeTypeE(ComputeType type) {
    return type == ComputeType::INT8_FLOAT32 && has_avx2();
}

// dim_t primitives<Device::CPU>::gemm_pack_b<int8_t>
dim_t __wrap__ZN11ctranslate210primitivesILNS_6DeviceE0EE11gemm_pack_bIaEElPKT_bllfPS4_(
    const int8_t* b, bool transpose_b, dim_t k, dim_t n, float, int8_t* packed
) {
    return int8_kernels().pack(b, transpose_b, n, k, packed);
}

// dim_t primitives<Device::CPU>::gemm_pack_b<float>: what a model has in floats beside 8-bit weights stays as it is.
dim_t __wrap__ZN11ctranslate210primitivesILNS_6DeviceE0EE11gemm_pack_bIfEElPKT_bllfPS4_(
    const float* b, bool, dim_t k, dim_t n, float, float* packed
) {
    if (packed != nullptr) std::memcpy(packed, b, sizeof(float) * static_cast<size_t>(k * n));
    return static_cast<dim_t>(sizeof(float)) * k * n;
}

using Multiply8 = void(
    bool, bool, bool, bool, dim_t, dim_t, dim_t, float, const int8_t*, dim_t, const int8_t*, dim_t, float, int32_t*,
    dim_t, const int32_t*
);
Multiply8 __real__ZN11ctranslate210primitivesILNS_6DeviceE0EE4gemmIaiEEvbbbblllfPKT_lS6_lfPT0_lPKS7_;

// void primitives<Device::CPU>::gemm<int8_t, int32_t>
void __wrap__ZN11ctranslate210primitivesILNS_6DeviceE0EE4gemmIaiEEvbbbblllfPKT_lS6_lfPT0_lPKS7_(
    bool a_is_packed, bool b_is_packed, bool transpose_a, bool transpose_b, dim_t m, dim_t n, dim_t k, float alpha,
    const int8_t* a, dim_t lda, const int8_t* b, dim_t ldb, float beta, int32_t* c, dim_t ldc,
    const int32_t* compensation
) {
    if (!b_is_packed)
        return __real__ZN11ctranslate210primitivesILNS_6DeviceE0EE4gemmIaiEEvbbbblllfPKT_lS6_lfPT0_lPKS7_(
            a_is_packed, b_is_packed, transpose_a, transpose_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc,
            compensation
        );
    if (a_is_packed || transpose_a || alpha != 1 || beta != 0 || compensation == nullptr)
        throw std::invalid_argument("packed weights are multiplied by shifted activations, as they are");
    // Activations lie shifted by 128, as unsigned bytes; the compensation takes that back.
    int8_kernels().multiply(m, n, k, reinterpret_cast<const uint8_t*>(a), lda, b, compensation, c, ldc);
}

// ---- For tests and benches ----------------------------------------------------------------------------------------

// Whether CTranslate2 packs the weights of an 8-bit model when it is loaded.
bool halkspeech_packs_weights() { return ctranslate2::cpu::pack_gemm_weights(ComputeType::INT8_FLOAT32); }

struct Weights {
    const Int8Kernels* kernels;  // null: by the ways that CTranslate2 comes here
    dim_t n, k;
    ctranslate2::StorageView packed;
};

// Packs B [n, k] for so many threads, with the kernels that CTranslate2 gets here (0), oneDNN's (1), or those for
// AVX2 (2); null where they are not packed. `halkspeech_drop_weights` frees them.
Weights* halkspeech_pack_weights(int kernels, int threads, int64_t n, int64_t k, const int8_t* b) {
    static const Int8Kernels* of[] = {nullptr, &halkspeech::onednn_int8_kernels, &halkspeech::avx2_int8_kernels};
    halkspeech::set_packing_threads(threads);
    auto weights = std::make_unique<Weights>(Weights{of[kernels], n, k, ctranslate2::StorageView(DataType::INT8)});
    const auto pack = [&](int8_t* packed) {
        return weights->kernels == nullptr ? Cpu::gemm_pack_b(b, true, k, n, 1.0f, packed)
                                           : weights->kernels->pack(b, true, n, k, packed);
    };
    const dim_t bytes = pack(nullptr);
    if (bytes == 0) return nullptr;
    weights->packed.resize({bytes});
    pack(weights->packed.data<int8_t>());
    return weights.release();
}

void halkspeech_drop_weights(Weights* weights) { delete weights; }

// C [m, n] = A [m, k] * B^T on so many threads.
void halkspeech_multiply_weights(
    const Weights* weights, int threads, int64_t m, const uint8_t* a, const int32_t* compensation, int32_t* c
) {
    const ThreadCountScope given(threads);
    const auto& [kernels, n, k, packed] = *weights;
    if (kernels != nullptr)
        kernels->multiply(m, n, k, a, k, packed.data<int8_t>(), compensation, c, n);
    else
        Cpu::gemm(
            false, true, false, true, m, n, k, 1.0f, reinterpret_cast<const int8_t*>(a), k,
            packed.data<int8_t>(), k, 0.0f, c, n, compensation
        );
}

// Y [m, n] of X [m, k] by weights that were packed for AVX2, by their scales, with bias, GELU and residual.
void halkspeech_multiply_with_epilogue(
    const Weights* weights, int threads, int64_t m, const float* x, const float* b_scales, const float* bias, bool gelu,
    const float* residual, float* y
) {
    const ThreadCountScope given(threads);
    std::vector<float> scales(static_cast<size_t>(m));
    halkspeech::multiply_with_epilogue(
        m, weights->n, weights->k, x, scales.data(), weights->packed.data<int8_t>(),
        {b_scales, bias, gelu, residual, y, weights->n}
    );
}

// The attention of an encoder, by `self_attention`: `projected` [batch, n, 3 * heads * width].
void halkspeech_self_attention(
    int threads, int64_t batch, int64_t heads, int64_t n, int64_t width, float scale, const float* projected,
    float* output
) {
    const ThreadCountScope given(threads);
    const halkspeech::SelfAttention shape = {n, width, 3 * heads * width, heads * width, scale};
    std::vector<float> memory(static_cast<size_t>(threads * shape.workspace_size()));
    halkspeech::self_attention(batch, heads, shape, projected, output, memory.data());
}

// A product of floats with rows of A that are shorter than k, which oneDNN does not take.
void halkspeech_fail_gemm() {
    const float a[4] = {}, b[4] = {};
    float c[4] = {};
    Cpu::gemm<float, float>(false, false, false, false, 2, 2, 2, 1.0f, a, 1, b, 2, 0.0f, c, 2, nullptr);
}

// The attention of a decoder to an encoding, by `CrossAttention`: m queries, and `projected` [n, 2 * heads * width].
void halkspeech_cross_attention(
    int64_t heads, int64_t m, int64_t n, int64_t width, float scale, const float* queries, const float* projected,
    float* output
) {
    const halkspeech::CrossAttention shape = {heads, width, scale};
    std::vector<halkspeech::Half> packed(static_cast<size_t>(shape.packed_size(n)));
    std::vector<float> memory(static_cast<size_t>(shape.workspace_size(n)));
    shape.pack(n, projected, packed.data());
    for (int64_t head = 0; head < heads; ++head)
        shape.attend(head, m, n, queries, packed.data(), output, memory.data());
}

// The attention of one row to n rows of `projected` [n, 2 * heads * width], by `attend_to_rows`.
void halkspeech_attend_to_rows(
    int64_t heads, int64_t n, int64_t width, float scale, const float* query, const float* projected, float* output
) {
    std::vector<const float*> keys;
    for (int64_t i = 0; i < n; ++i) keys.push_back(projected + i * 2 * heads * width);
    std::vector<float> memory(static_cast<size_t>(n + halkspeech::tile_columns));
    halkspeech::attend_to_rows(n, heads, width, scale, query, keys.data(), heads * width, output, memory.data());
}

}  // extern "C"
