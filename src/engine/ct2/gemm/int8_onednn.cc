// Packed weights are the columns of the product in blocks, one for each thread, as oneDNN packs them for one thread.

#include "int8.h"
#include "threads.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <stdexcept>

// Not in oneDNN's public headers, but exported by it (src/cpu/gemm/gemm_pack.hpp): column-major, C = A * B.
namespace dnnl::impl::cpu::x64 {
using Size = const int64_t*;
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

namespace onednn = dnnl::impl::cpu::x64;

namespace halkspeech {

namespace {

// A model is loaded, and its weights packed, in the thread that asks for it.
thread_local int threads_of_next_model = 1;

// Rows of an activation, about, that oneDNN lays weights out for.
constexpr int64_t usual_rows = 64;
constexpr size_t page = 4096;

// At the begin of packed weights.
struct Packed {
    static constexpr int most = 64;

    int64_t blocks;
    int64_t columns;         // in a block; the last may have fewer
    int64_t offsets[most];   // of each block, from here

    int64_t columns_of(int64_t block, int64_t n) const { return std::min<int64_t>(columns, n - block * columns); }
};

void check(int status) {
    if (status != 0) throw std::runtime_error("oneDNN cannot pack weights");
}

Packed divided(int64_t n) {
    const int64_t threads = std::clamp(threads_of_next_model, 1, Packed::most);
    // No block of less than oneDNN's kernels take at once.
    const int64_t columns = std::max<int64_t>((n + threads - 1) / threads, 64);
    return {(n + columns - 1) / columns, columns, {}};
}

int64_t pack(const int8_t* b, bool transposed, int64_t n, int64_t k, int8_t* packed) {
    // oneDNN lays out, and divides, for as many threads as it finds.
    const Threads one(1);
    Packed header = divided(n);
    const char* order = transposed ? "T" : "N";
    const int64_t ldb = transposed ? k : n;
    // Blocks begin at pages, wherever the memory begins.
    const size_t begin = reinterpret_cast<uintptr_t>(packed) % page;
    size_t end = begin + sizeof(Packed);
    for (int64_t block = 0; block < header.blocks; ++block) {
        const int64_t columns = header.columns_of(block, n);
        size_t size = 0;
        check(onednn::gemm_s8u8s32_pack_get_size(
            "A", order, "N", &columns, &usual_rows, &k, &ldb, &k, &size, nullptr
        ));
        end = (end + page - 1) / page * page;
        header.offsets[block] = static_cast<int64_t>(end - begin);
        end += size;
        if (packed == nullptr) continue;
        const int8_t* source = b + block * header.columns * (transposed ? k : 1);
        check(onednn::gemm_s8u8s32_pack(
            "A", order, "N", &columns, &usual_rows, &k, &ldb, &k, source, packed + header.offsets[block]
        ));
    }
    if (packed == nullptr) return static_cast<int64_t>(end + page);
    std::memcpy(packed, &header, sizeof header);
    return 0;
}

void multiply(
    int64_t m, int64_t n, int64_t k, const uint8_t* a, int64_t lda, const int8_t* packed, const int32_t* offsets,
    int32_t* c, int64_t ldc
) {
    Packed header;
    std::memcpy(&header, packed, sizeof header);
    const float beta = 0;
    std::atomic<bool> failed{false};
    // Inside a parallel region oneDNN takes one thread.
    #pragma omp parallel for schedule(static) if (header.blocks > 1)
    for (int64_t block = 0; block < header.blocks; ++block) {
        const int64_t columns = header.columns_of(block, n);
        const int64_t first = block * header.columns;
        const int status = onednn::gemm_s8u8s32_compute(
            "P", "N", "C", &columns, &m, &k, packed + header.offsets[block], &k, a, &lda, &beta, c + first, &ldc,
            offsets + first
        );
        if (status != 0) failed = true;
    }
    if (failed) throw std::runtime_error("oneDNN cannot multiply by packed weights");
}

}  // namespace

void pack_for(int threads) { threads_of_next_model = threads; }

const Int8Kernels int8_of_onednn = {pack, multiply};

}  // namespace halkspeech
