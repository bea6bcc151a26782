// Matrix products of CTranslate2 on an x86-64 processor, done faster. The linker puts the functions that begin with
// `__wrap_` in the place of CTranslate2's (build.rs), of which this version's headers are the declarations.
//
// 1. 8-bit weights are laid out for oneDNN's kernels once, when a model is loaded, instead of at every product.
//    CTranslate2 does so with MKL only; its own switch for that, `pack_gemm_weights`, is turned on here.
// 2. The attention of a decoder multiplies a few rows by long matrices that are read from memory once: oneDNN copies
//    them first. `products` here reads them in place.
// 3. oneDNN gives a product up for want of memory, and CTranslate2 does not look: it would go on with whatever lay
//    there, and write down another text. Products that were given up are counted, for the engine to ask.
// 4. oneDNN makes its kernels once in a process; one that it had no memory for then is never made. So they are made at
//    the start.
//
// Sizes are in elements, matrices row-major: C [m, n] = alpha * A [m, k] * B, B [k, n] or, transposed, [n, k].

#include <immintrin.h>
#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <stdexcept>

#include <ctranslate2/devices.h>
#include <ctranslate2/primitives.h>
#include <ctranslate2/types.h>

using ctranslate2::ComputeType;
using ctranslate2::Device;
using ctranslate2::dim_t;
using Cpu = ctranslate2::primitives<Device::CPU>;

// Not in oneDNN's public headers, but exported by it (src/cpu/gemm/gemm_pack.hpp): column-major, C = A * B.
namespace dnnl::impl::cpu::x64 {
using Size = const dim_t*;
int gemm_s8u8s32_pack_get_size(
    const char* which, const char* transa, const char* transb, Size m, Size n, Size k, Size lda, Size ldb,
    size_t* size, bool* pack
);
int gemm_s8u8s32_pack(
    const char* which, const char* transa, const char* transb, Size m, Size n, Size k, Size lda, Size ldb,
    const void* source, void* packed
);
int gemm_s8u8s32_compute(
    const char* transa, const char* transb, const char* offsetc, Size m, Size n, Size k, const int8_t* a, Size lda,
    const uint8_t* b, Size ldb, const float* beta, int32_t* c, Size ldc, const int32_t* co
);
}  // namespace dnnl::impl::cpu::x64
// Declared in CTranslate2's own sources only.
namespace ctranslate2::cpu {
bool pack_gemm_weights(ComputeType type);
}

namespace onednn = dnnl::impl::cpu::x64;

namespace {

#define AVX2 __attribute__((target("avx2,fma")))
#define UNROLL _Pragma("GCC unroll 8")

// A model is loaded, and its weights packed, in the thread that asks for it.
thread_local int threads_of_next_model = 1;

bool has_avx2() {
    static const bool has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return has;
}

// ---- 8-bit weights ----------------------------------------------------------------------------------------------

// Rows of an activation, about, that oneDNN lays weights out for.
constexpr dim_t usual_rows = 64;
constexpr size_t page = 4096;

// Packed weights: the columns of the product in blocks, one for each thread, as oneDNN packs them for one thread.
struct Packed {
    static constexpr int most = 64;

    int64_t blocks;
    int64_t columns;         // in a block; the last may have fewer
    int64_t offsets[most];   // of each block, from here

    int64_t columns_of(int64_t block, dim_t n) const { return std::min<int64_t>(columns, n - block * columns); }
};

void check(int status) {
    if (status != 0) throw std::runtime_error("oneDNN cannot pack weights");
}

// oneDNN lays out, and divides, for as many threads as it finds.
struct OneThread {
    int before = omp_get_max_threads();
    OneThread() { omp_set_num_threads(1); }
    ~OneThread() { omp_set_num_threads(before); }
};

Packed divided(dim_t n) {
    const int64_t threads = std::clamp(threads_of_next_model, 1, Packed::most);
    // No block of less than oneDNN's kernels take at once.
    const int64_t columns = std::max<int64_t>((n + threads - 1) / threads, 64);
    return {(n + columns - 1) / columns, columns, {}};
}

// Bytes for packed weights, or packs them.
dim_t pack(const int8_t* b, bool transpose_b, dim_t k, dim_t n, int8_t* packed) {
    const OneThread one;
    Packed header = divided(n);
    const char* transposed = transpose_b ? "T" : "N";
    const dim_t ldb = transpose_b ? k : n;
    // Blocks begin at pages, wherever the memory begins.
    const size_t begin = reinterpret_cast<uintptr_t>(packed) % page;
    size_t end = begin + sizeof(Packed);
    for (int64_t block = 0; block < header.blocks; ++block) {
        const dim_t columns = header.columns_of(block, n);
        size_t size = 0;
        check(onednn::gemm_s8u8s32_pack_get_size(
            "A", transposed, "N", &columns, &usual_rows, &k, &ldb, &k, &size, nullptr
        ));
        end = (end + page - 1) / page * page;
        header.offsets[block] = static_cast<int64_t>(end - begin);
        end += size;
        if (packed == nullptr) continue;
        const int8_t* source = b + block * header.columns * (transpose_b ? k : 1);
        check(onednn::gemm_s8u8s32_pack(
            "A", transposed, "N", &columns, &usual_rows, &k, &ldb, &k, source, packed + header.offsets[block]
        ));
    }
    if (packed == nullptr) return static_cast<dim_t>(end + page);
    std::memcpy(packed, &header, sizeof header);
    return 0;
}

void multiply_packed(
    dim_t m, dim_t n, dim_t k, const uint8_t* a, dim_t lda, const int8_t* packed, int32_t* c, dim_t ldc,
    const int32_t* compensation
) {
    Packed header;
    std::memcpy(&header, packed, sizeof header);
    const float beta = 0;
    std::atomic<bool> failed{false};
    // Inside a parallel region oneDNN takes one thread.
    #pragma omp parallel for schedule(static) if (header.blocks > 1)
    for (int64_t block = 0; block < header.blocks; ++block) {
        const dim_t columns = header.columns_of(block, n);
        const int64_t first = block * header.columns;
        const int status = onednn::gemm_s8u8s32_compute(
            "P", "N", "C", &columns, &m, &k, packed + header.offsets[block], &k, a, &lda, &beta, c + first, &ldc,
            compensation + first
        );
        if (status != 0) failed = true;
    }
    if (failed) throw std::runtime_error("oneDNN cannot multiply by packed weights");
}

// ---- Attention of a decoder -------------------------------------------------------------------------------------

// Rows of A up to which B is read in place: beams, or the tokens of a prompt.
constexpr dim_t few_rows = 16;
// Rows of B [k, n] that stay in the nearest cache while all their columns are used, and the next are fetched.
constexpr dim_t rows_at_once = 32;

AVX2 inline __m256 sums_of_eight(const __m256* s) {
    const __m256 a = _mm256_hadd_ps(_mm256_hadd_ps(s[0], s[1]), _mm256_hadd_ps(s[2], s[3]));
    const __m256 b = _mm256_hadd_ps(_mm256_hadd_ps(s[4], s[5]), _mm256_hadd_ps(s[6], s[7]));
    return _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
}

// B is transposed, [n, k], k a multiple of 8: every result is a product of two rows.
AVX2 void products_of_rows(
    dim_t m, dim_t n, dim_t k, float alpha, const float* a, const float* b, float* c
) {
    const __m256 factor = _mm256_set1_ps(alpha);
    dim_t j = 0;
    for (; j + 8 <= n; j += 8) {
        for (dim_t i = 0; i < m; ++i) {
            __m256 sums[8];
            UNROLL for (int e = 0; e < 8; ++e) sums[e] = _mm256_setzero_ps();
            for (dim_t p = 0; p < k; p += 8) {
                const __m256 x = _mm256_loadu_ps(a + i * k + p);
                UNROLL for (int e = 0; e < 8; ++e)
                    sums[e] = _mm256_fmadd_ps(x, _mm256_loadu_ps(b + (j + e) * k + p), sums[e]);
            }
            _mm256_storeu_ps(c + i * n + j, _mm256_mul_ps(sums_of_eight(sums), factor));
        }
    }
    for (; j < n; ++j) {
        for (dim_t i = 0; i < m; ++i) {
            __m256 sums[8] = {};
            for (dim_t p = 0; p < k; p += 8)
                sums[0] = _mm256_fmadd_ps(_mm256_loadu_ps(a + i * k + p), _mm256_loadu_ps(b + j * k + p), sums[0]);
            c[i * n + j] = alpha * _mm256_cvtss_f32(sums_of_eight(sums));
        }
    }
}

// C [Rows, 16] (+)= alpha * A [Rows, depth] * B [depth, 16]; rows of A, B and C are lda, ld and ld apart.
template <int Rows>
AVX2 void tile(
    dim_t depth, float alpha, const float* a, dim_t lda, const float* b, float* c, dim_t ld, bool adds
) {
    __m256 sums[Rows][2];
    UNROLL for (int i = 0; i < Rows; ++i) sums[i][0] = sums[i][1] = _mm256_setzero_ps();
    for (dim_t p = 0; p < depth; ++p) {
        // Past the end it does no harm.
        _mm_prefetch(reinterpret_cast<const char*>(b + (p + rows_at_once) * ld), _MM_HINT_T0);
        const __m256 left = _mm256_loadu_ps(b + p * ld);
        const __m256 right = _mm256_loadu_ps(b + p * ld + 8);
        UNROLL for (int i = 0; i < Rows; ++i) {
            const __m256 x = _mm256_broadcast_ss(a + i * lda + p);
            sums[i][0] = _mm256_fmadd_ps(x, left, sums[i][0]);
            sums[i][1] = _mm256_fmadd_ps(x, right, sums[i][1]);
        }
    }
    const __m256 factor = _mm256_set1_ps(alpha);
    UNROLL for (int i = 0; i < Rows; ++i) {
        float* out = c + i * ld;
        const __m256 zero = _mm256_setzero_ps();
        const __m256 left = adds ? _mm256_loadu_ps(out) : zero;
        const __m256 right = adds ? _mm256_loadu_ps(out + 8) : zero;
        _mm256_storeu_ps(out, _mm256_fmadd_ps(sums[i][0], factor, left));
        _mm256_storeu_ps(out + 8, _mm256_fmadd_ps(sums[i][1], factor, right));
    }
}

// B is [k, n], n a multiple of 16.
AVX2 void products_of_columns(
    dim_t m, dim_t n, dim_t k, float alpha, const float* a, const float* b, float* c
) {
    using Tile = decltype(&tile<1>);
    static constexpr Tile tiles[] = {tile<1>, tile<2>, tile<3>, tile<4>, tile<5>, tile<6>};
    for (dim_t p = 0; p < k; p += rows_at_once) {
        const dim_t depth = std::min(rows_at_once, k - p);
        for (dim_t j = 0; j < n; j += 16) {
            for (dim_t i = 0; i < m; i += 6)
                tiles[std::min<dim_t>(6, m - i) - 1](
                    depth, alpha, a + i * k + p, k, b + p * n + j, c + i * n + j, n, p > 0
                );
        }
    }
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
uint64_t halkspeech_products_given_up() { return given_up; }

// Has oneDNN make the kernels of all products that CTranslate2 asks of it; false where it could not.
bool halkspeech_make_kernels() {
    const OneThread one;
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
void halkspeech_threads_of_next_model(int threads) { threads_of_next_model = threads; }

// bool ctranslate2::cpu::pack_gemm_weights(ComputeType)
bool __wrap__ZN11ctranslate23cpu17pack_gemm_weightsENS_11ComputeTypeE(ComputeType type) {
    return type == ComputeType::INT8_FLOAT32 && has_avx2();
}

// dim_t primitives<Device::CPU>::gemm_pack_b<int8_t>
dim_t __wrap__ZN11ctranslate210primitivesILNS_6DeviceE0EE11gemm_pack_bIaEElPKT_bllfPS4_(
    const int8_t* b, bool transpose_b, dim_t k, dim_t n, float, int8_t* packed
) {
    return pack(b, transpose_b, k, n, packed);
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
    multiply_packed(m, n, k, reinterpret_cast<const uint8_t*>(a), lda, b, c, ldc, compensation);
}

using MultiplyBatch = void(
    bool, bool, dim_t, dim_t, dim_t, float, const float*, dim_t, dim_t, const float*, dim_t, dim_t, float, float*,
    dim_t, dim_t, dim_t
);
MultiplyBatch
    __real__ZN11ctranslate210primitivesILNS_6DeviceE0EE18gemm_batch_stridedIffEEvbblllfPKT_llS6_llfPT0_lll;

// void primitives<Device::CPU>::gemm_batch_strided<float, float>
void __wrap__ZN11ctranslate210primitivesILNS_6DeviceE0EE18gemm_batch_stridedIffEEvbblllfPKT_llS6_llfPT0_lll(
    bool transpose_a, bool transpose_b, dim_t m, dim_t n, dim_t k, float alpha, const float* a, dim_t lda,
    dim_t stridea, const float* b, dim_t ldb, dim_t strideb, float beta, float* c, dim_t ldc, dim_t stridec,
    dim_t batch_size
) {
    const bool lies_dense = lda == k && ldb == (transpose_b ? k : n) && ldc == n;
    const bool fits = transpose_b ? k % 8 == 0 : n % 16 == 0;
    if (!has_avx2() || transpose_a || m > few_rows || beta != 0 || !lies_dense || !fits)
        return __real__ZN11ctranslate210primitivesILNS_6DeviceE0EE18gemm_batch_stridedIffEEvbblllfPKT_llS6_llfPT0_lll(
            transpose_a, transpose_b, m, n, k, alpha, a, lda, stridea, b, ldb, strideb, beta, c, ldc, stridec,
            batch_size
        );
    const auto products = transpose_b ? products_of_rows : products_of_columns;
    #pragma omp parallel for schedule(static) if (batch_size > 1 && omp_get_max_threads() > 1)
    for (dim_t i = 0; i < batch_size; ++i)
        products(m, n, k, alpha, a + i * stridea, b + i * strideb, c + i * stridec);
}

// ---- For tests: the ways that CTranslate2 comes here -------------------------------------------------------------

// Whether CTranslate2 packs the weights of an 8-bit model when it is loaded.
bool halkspeech_packs_weights() { return ctranslate2::cpu::pack_gemm_weights(ComputeType::INT8_FLOAT32); }

// C [m, n] = A [m, k] * B [n, k]^T of 8-bit integers, with weights packed for so many threads; false where they are
// not packed.
bool halkspeech_multiply_packed(
    int threads, int64_t m, int64_t n, int64_t k, const uint8_t* a, const int8_t* b, const int32_t* compensation,
    int32_t* c
) {
    halkspeech_threads_of_next_model(threads);
    const dim_t size = Cpu::gemm_pack_b(b, true, k, n, 1.0f, static_cast<int8_t*>(nullptr));
    if (size == 0) return false;
    int8_t* packed = new int8_t[static_cast<size_t>(size)];
    Cpu::gemm_pack_b(b, true, k, n, 1.0f, packed);
    const int before = omp_get_max_threads();
    omp_set_num_threads(threads);
    Cpu::gemm(
        false, true, false, true, m, n, k, 1.0f, reinterpret_cast<const int8_t*>(a), k, packed, k, 0.0f, c, n,
        compensation
    );
    omp_set_num_threads(before);
    delete[] packed;
    return true;
}

// A product of floats with rows of A that are shorter than k, which oneDNN does not take.
void halkspeech_multiply_wrongly() {
    const float a[4] = {}, b[4] = {};
    float c[4] = {};
    Cpu::gemm<float, float>(false, false, false, false, 2, 2, 2, 1.0f, a, 1, b, 2, 0.0f, c, 2, nullptr);
}

// `batch` products of floats, one behind the other.
void halkspeech_multiply_batch(
    bool transpose_b, int64_t batch, int64_t m, int64_t n, int64_t k, float alpha, const float* a, const float* b,
    float* c
) {
    Cpu::gemm_batch_strided(
        false, transpose_b, m, n, k, alpha, a, k, m * k, b, transpose_b ? k : n, n * k, 0.0f, c, n, m * n, batch
    );
}

}  // extern "C"
