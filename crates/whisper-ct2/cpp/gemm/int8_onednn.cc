// Packs weights as blocks of columns of the product, one for each thread, each in oneDNN's format for one thread.

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

// A model is loaded, and its weights are packed, on the calling thread.
thread_local int packing_threads = 1;

// Approximate number of rows of activations that oneDNN optimizes the packed layout for.
constexpr int64_t typical_rows = 64;
constexpr size_t page = 4096;

// Precedes packed weights.
struct PackedHeader {
    static constexpr int max_blocks = 64;

    int64_t blocks;
    int64_t columns;              // of a block; the last may have fewer
    int64_t offsets[max_blocks];  // of each block, from the start of the header

    int64_t columns_of(int64_t block, int64_t n) const { return std::min<int64_t>(columns, n - block * columns); }
};

void check(int status) {
    if (status != 0) throw std::runtime_error("oneDNN cannot pack weights");
}

PackedHeader divide_columns(int64_t n) {
    const int64_t threads = std::clamp(packing_threads, 1, PackedHeader::max_blocks);
    // No block is narrower than what oneDNN's kernels process at once.
    const int64_t columns = std::max<int64_t>((n + threads - 1) / threads, 64);
    return {(n + columns - 1) / columns, columns, {}};
}

int64_t pack(const int8_t* b, bool transposed, int64_t n, int64_t k, int8_t* packed) {
    // oneDNN packs, and divides, for the current number of threads.
    const ThreadCountScope single_thread(1);
    PackedHeader header = divide_columns(n);
    const char* order = transposed ? "T" : "N";
    const int64_t ldb = transposed ? k : n;
    // Blocks are aligned to pages for any alignment of `packed`.
    const size_t begin = reinterpret_cast<uintptr_t>(packed) % page;
    size_t end = begin + sizeof(PackedHeader);
    for (int64_t block = 0; block < header.blocks; ++block) {
        const int64_t columns = header.columns_of(block, n);
        size_t size = 0;
        check(onednn::gemm_s8u8s32_pack_get_size(
            "A", order, "N", &columns, &typical_rows, &k, &ldb, &k, &size, nullptr
        ));
        end = (end + page - 1) / page * page;
        header.offsets[block] = static_cast<int64_t>(end - begin);
        end += size;
        if (packed == nullptr) continue;
        const int8_t* source = b + block * header.columns * (transposed ? k : 1);
        check(onednn::gemm_s8u8s32_pack(
            "A", order, "N", &columns, &typical_rows, &k, &ldb, &k, source, packed + header.offsets[block]
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
    PackedHeader header;
    std::memcpy(&header, packed, sizeof header);
    const float beta = 0;
    std::atomic<bool> failed{false};
    // Inside a parallel region oneDNN uses one thread.
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

void set_packing_threads(int threads) { packing_threads = threads; }

const Int8Kernels onednn_int8_kernels = {pack, multiply};

}  // namespace halkspeech
