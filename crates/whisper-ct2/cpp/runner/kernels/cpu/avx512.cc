// The kernels for processors with AVX-512 and its instructions for 8-bit products (VNNI), and for AMX where there is
// it.
//
// 8-bit weights are stored as u = w + 128, in panels of 32 columns; four adjacent elements of a column, as the
// instructions multiply them, then the four of the next column. It is also the layout of AMX's tiles. Sums are exact;
// 128 times the sum of a row's activations compensates the shift of the weights.

#include "../kernels.h"

#if defined(__x86_64__)

// Intrinsics of GCC 12 start from vectors that are not initialised.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "int8_rows.h"

namespace halkspeech {

namespace {

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c,amx-tile,amx-int8")
#define HALKSPEECH_LANES 16
#include "simd.h"
#include "products.inc"
#include "attention.inc"
#include "rows.inc"

constexpr int64_t quad = 4;
constexpr int64_t depth_multiple = 64;

constexpr int64_t depth_of(int64_t k) { return ceil_div(k, depth_multiple) * depth_multiple; }

int64_t int8_packed_size(int64_t n, int64_t k) { return ceil_div(n, panel) * panel * depth_of(k); }

void pack_int8(int64_t n, int64_t k, const int8_t* w, int8_t* packed) {
    for (int64_t j = 0; j < n; j += panel) {
        for (int64_t p = 0; p < depth_of(k); p += quad) {
            for (int64_t c = j; c < j + panel; ++c) {
                for (int64_t q = p; q < p + quad; ++q)
                    *packed++ = static_cast<int8_t>((c < n && q < k ? w[c * k + q] : 0) ^ -128);
            }
        }
    }
}

void unpack_int8(int64_t k, const int8_t* packed, int64_t row, int8_t* w) {
    const int8_t* from = packed + row / panel * panel * depth_of(k) + row % panel * quad;
    for (int64_t p = 0; p < k; ++p) w[p] = static_cast<int8_t>(from[p / quad * quad * panel + p % quad] ^ -128);
}

// Products of 8-bit numbers as floats, from sums of shifted weights: rows of a panel from column j on.
inline void scale_sums(
    int64_t rows, int64_t i, int64_t j, int64_t n, const int32_t* sums, const Int8Rows& x, const float* scales,
    float* products
) {
    float padded_scales[panel];
    for (int64_t c = 0; c < panel; ++c) padded_scales[c] = j + c < n ? scales[j + c] : 1;
    for (int64_t half = 0; half < panel; half += lanes) {
        const vec column = broadcast(1) / load(padded_scales + half);
        for (int64_t r = 0; r < rows; ++r) {
            const __m512i shifted = _mm512_loadu_si512(sums + r * panel + half);
            const __m512i exact = _mm512_sub_epi32(shifted, _mm512_set1_epi32(128 * x.sums[i + r]));
            const vec product = _mm512_cvtepi32_ps(exact);
            store(products + r * panel + half, product * broadcast(1 / x.scales[i + r]) * column);
        }
    }
}

template <int Count>
void int8_tile(int64_t depth, const int8_t* q, const int8_t* weights, int32_t* to) {
    __m512i sums[Count][2];
    _Pragma("GCC unroll 12") for (int i = 0; i < Count; ++i) sums[i][0] = sums[i][1] = _mm512_setzero_si512();
    for (int64_t p = 0; p < depth; p += quad, weights += quad * panel) {
        __builtin_prefetch(weights + 16 * quad * panel);
        __builtin_prefetch(weights + 16 * quad * panel + 64);
        const __m512i left = _mm512_loadu_si512(weights);
        const __m512i right = _mm512_loadu_si512(weights + 64);
        _Pragma("GCC unroll 12") for (int i = 0; i < Count; ++i) {
            int32_t four;
            __builtin_memcpy(&four, q + i * depth + p, sizeof four);
            const __m512i a = _mm512_set1_epi32(four);
            sums[i][0] = _mm512_dpbusd_epi32(sums[i][0], left, a);
            sums[i][1] = _mm512_dpbusd_epi32(sums[i][1], right, a);
        }
    }
    _Pragma("GCC unroll 12") for (int i = 0; i < Count; ++i) {
        _mm512_storeu_si512(to + i * panel, sums[i][0]);
        _mm512_storeu_si512(to + i * panel + lanes, sums[i][1]);
    }
}

void multiply_int8_tile(int64_t rows, int64_t depth, const int8_t* q, const int8_t* weights, int32_t* to) {
    switch (rows) {
    case 1: return int8_tile<1>(depth, q, weights, to);
    case 2: return int8_tile<2>(depth, q, weights, to);
    case 3: return int8_tile<3>(depth, q, weights, to);
    case 4: return int8_tile<4>(depth, q, weights, to);
    case 5: return int8_tile<5>(depth, q, weights, to);
    case 6: return int8_tile<6>(depth, q, weights, to);
    case 7: return int8_tile<7>(depth, q, weights, to);
    case 8: return int8_tile<8>(depth, q, weights, to);
    case 9: return int8_tile<9>(depth, q, weights, to);
    case 10: return int8_tile<10>(depth, q, weights, to);
    case 11: return int8_tile<11>(depth, q, weights, to);
    case 12: return int8_tile<12>(depth, q, weights, to);
    }
}

void multiply_vnni(
    int64_t first, int64_t last, int64_t n, const Int8Rows& x, const int8_t* packed, const float* scales,
    const Epilogue& y
) {
    int32_t sums[tile_rows * panel];
    float products[tile_rows * panel];
    for (int64_t i = 0; i < x.m; i += tile_rows) {
        const int64_t rows = smallest(tile_rows, x.m - i);
        for (int64_t at = first; at < last; ++at) {
            const int64_t j = at * panel;
            multiply_int8_tile(rows, x.depth, x.q + i * x.depth, packed + j * x.depth, sums);
            scale_sums(rows, i, j, n, sums, x, scales, products);
            store_tile(products, rows, i, j, smallest(panel, n - j), y);
        }
    }
}

// The shapes of the eight tiles: 16 rows of 64 bytes each.
struct alignas(64) TileConfig {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t columns[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

void multiply_amx(
    int64_t first, int64_t last, int64_t n, const Int8Rows& x, const int8_t* packed, const float* scales,
    const Epilogue& y
) {
    static_assert(panel == 32 && int8_row_block == 32, "two by two tiles");
    alignas(64) int32_t sums[int8_row_block * panel];
    float products[int8_row_block * panel];
    const TileConfig config;
    _tile_loadconfig(&config);
    for (int64_t i = 0; i < x.m; i += int8_row_block) {
        const int64_t rows = smallest(int8_row_block, x.m - i);
        for (int64_t at = first; at < last; ++at) {
            const int64_t j = at * panel;
            const int8_t* q = x.q + i * x.depth;
            const int8_t* weights = packed + j * x.depth;
            _tile_zero(0);
            _tile_zero(1);
            _tile_zero(2);
            _tile_zero(3);
            for (int64_t p = 0; p < x.depth; p += depth_multiple, weights += depth_multiple * panel) {
                _tile_loadd(6, weights, quad * panel);
                _tile_loadd(7, weights + 64, quad * panel);
                _tile_loadd(4, q + p, x.depth);
                _tile_dpbsud(0, 4, 6);
                _tile_dpbsud(1, 4, 7);
                if (rows <= 16) continue;
                _tile_loadd(5, q + 16 * x.depth + p, x.depth);
                _tile_dpbsud(2, 5, 6);
                _tile_dpbsud(3, 5, 7);
            }
            _tile_stored(0, sums, 4 * panel);
            _tile_stored(1, sums + 16, 4 * panel);
            _tile_stored(2, sums + 16 * panel, 4 * panel);
            _tile_stored(3, sums + 16 * panel + 16, 4 * panel);
            scale_sums(rows, i, j, n, sums, x, scales, products);
            store_tile(products, rows, i, j, smallest(panel, n - j), y);
        }
    }
    _tile_release();
}

bool has_amx() {
    constexpr unsigned tiles = 1u << 24, int8 = 1u << 25;
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & tiles) == 0 || (d & int8) == 0) return false;
    // Asks the kernel for the tiles' registers, for all threads of the process.
    constexpr long request_permission = 0x1023, tile_data = 18;
    return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}

// Rows from which on AMX is faster.
constexpr int64_t min_amx_rows = 16;

void multiply_int8_weights(
    int64_t n, const Rows& x, bool round, const int8_t* packed, const float* scales, const Epilogue& y
) {
    static const bool amx = has_amx();
    const auto multiply = amx && x.m >= min_amx_rows ? multiply_amx : multiply_vnni;
    multiply_int8({panel, depth_multiple, quantize_row, multiply}, n, x, round, packed, scales, y);
}

#define HALKSPEECH_NAME "avx512"
#define HALKSPEECH_INT8 {int8_packed_size, pack_int8, unpack_int8, multiply_int8_weights}
#include "table.inc"
#pragma GCC pop_options

bool is_supported() {
    return avx2_kernels() != nullptr && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")
        && __builtin_cpu_supports("avx512vnni");
}

}  // namespace

const Kernels* avx512_kernels() { return is_supported() ? &table : nullptr; }

}  // namespace halkspeech

#else

const halkspeech::Kernels* halkspeech::avx512_kernels() { return nullptr; }

#endif
