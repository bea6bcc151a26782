// Vectors of one instruction set. Included once by each file that instantiates the kernels, inside its namespace and
// under its target: HALKSPEECH_LANES is 4 (any processor), 8 (AVX2, FMA and F16C) or 16 (AVX-512).
//
// Nothing of the standard library is called from here on: an inline function of it, compiled for this target, could
// replace the one that other processors run.

constexpr int64_t lanes = HALKSPEECH_LANES;

typedef float vec __attribute__((vector_size(HALKSPEECH_LANES * 4)));
typedef int32_t ivec __attribute__((vector_size(HALKSPEECH_LANES * 4)));
typedef uint16_t hvec __attribute__((vector_size(HALKSPEECH_LANES * 2)));

inline vec load(const float* p) {
    vec v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
}
inline void store(float* p, vec v) { __builtin_memcpy(p, &v, sizeof v); }

#if HALKSPEECH_LANES == 16
inline vec broadcast(float x) { return _mm512_set1_ps(x); }
inline vec madd(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
inline vec larger(vec a, vec b) { return _mm512_maskz_max_ps(0xffff, a, b); }
inline vec smaller(vec a, vec b) { return _mm512_maskz_min_ps(0xffff, a, b); }
inline bool any_above(vec a, vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ) != 0; }
inline vec load(const Half* p) { return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }
inline void store(Half* p, vec v) {
    _mm256_storeu_si256(
        reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
    );
}
#elif HALKSPEECH_LANES == 8
inline vec broadcast(float x) { return _mm256_set1_ps(x); }
inline vec madd(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
inline vec larger(vec a, vec b) { return _mm256_max_ps(a, b); }
inline vec smaller(vec a, vec b) { return _mm256_min_ps(a, b); }
inline bool any_above(vec a, vec b) { return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GT_OQ)) != 0; }
inline vec load(const Half* p) { return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
inline void store(Half* p, vec v) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}
#else
inline vec broadcast(float x) { return vec{x, x, x, x}; }
#ifdef __aarch64__
inline vec madd(vec a, vec b, vec c) { return vfmaq_f32(c, a, b); }
#else
inline vec madd(vec a, vec b, vec c) { return a * b + c; }
#endif
inline vec larger(vec a, vec b) { return a > b ? a : b; }
inline vec smaller(vec a, vec b) { return a < b ? a : b; }
inline bool any_above(vec a, vec b) {
    const ivec above = a > b;
    return (above[0] | above[1] | above[2] | above[3]) != 0;
}
// 2^112 moves the exponents of 16-bit floats to those of 32-bit ones, subnormal numbers included.
inline vec load(const Half* p) {
    hvec h;
    __builtin_memcpy(&h, p, sizeof h);
    const ivec bits = __builtin_convertvector(h, ivec);
    const vec magnitude = reinterpret_cast<vec>((bits & 0x7fff) << 13) * broadcast(0x1p112f);
    return reinterpret_cast<vec>(reinterpret_cast<ivec>(magnitude) | ((bits & 0x8000) << 16));
}
inline void store(Half* p, vec v) {
    const ivec bits = reinterpret_cast<ivec>(v);
    const vec limited = smaller(reinterpret_cast<vec>(bits & 0x7fffffff), broadcast(65504.0f));
    const ivec scaled = reinterpret_cast<ivec>(limited * broadcast(0x1p-112f));
    const ivec rounded = (scaled + 0xfff + ((scaled >> 13) & 1)) >> 13;
    const hvec h = __builtin_convertvector(rounded | ((bits >> 16) & 0x8000), hvec);
    __builtin_memcpy(p, &h, sizeof h);
}
#endif

// By halves: the upper half is added to the lower one until one number is left.
#if HALKSPEECH_LANES == 4
inline float sum_of(vec v) {
    const float left = v[0] + v[2], right = v[1] + v[3];
    return left + right;
}
#else
inline float sum_of(__m256 v) {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
#if HALKSPEECH_LANES == 16
inline float sum_of(vec v) {
    return sum_of(_mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1)));
}
#endif
#endif

inline float max_of(vec v) {
    float x[lanes];
    store(x, v);
    float largest = x[0];
    for (int64_t i = 1; i < lanes; ++i) largest = x[i] > largest ? x[i] : largest;
    return largest;
}

inline vec magnitude_of(vec v) { return reinterpret_cast<vec>(reinterpret_cast<ivec>(v) & 0x7fffffff); }

constexpr int64_t smallest(int64_t a, int64_t b) { return a < b ? a : b; }
constexpr int64_t ceil_div(int64_t x, int64_t by) { return (x + by - 1) / by; }

// exp(x) for x <= 0, as 2^n * 2^f with the series of 2^f, f in [-0.5, 0.5]; the relative error is at most 4e-6.
inline vec exp_of_negative(vec x) {
    x = larger(x * broadcast(1.44269504f), broadcast(-126));
    // Adding 1.5 * 2^23 rounds to the nearest integer, which is then in the low bits.
    const vec shifted = x + broadcast(12582912.0f);
    const vec f = x - (shifted - broadcast(12582912.0f));
    vec series = broadcast(1.5403530e-4f);
    series = madd(series, f, broadcast(1.3333558e-3f));
    series = madd(series, f, broadcast(9.6181291e-3f));
    series = madd(series, f, broadcast(5.5504109e-2f));
    series = madd(series, f, broadcast(2.4022651e-1f));
    series = madd(series, f, broadcast(6.9314718e-1f));
    series = madd(series, f, broadcast(1));
    const ivec exponent = reinterpret_cast<ivec>(shifted) << 23;
    return reinterpret_cast<vec>(reinterpret_cast<ivec>(series) + exponent);
}

// erf(x) as in Eigen (generic_fast_erf), a rational function; beyond 4 it is 1 in floats.
inline vec erf_of(vec x) {
    x = larger(smaller(x, broadcast(4)), broadcast(-4));
    const vec s = x * x;
    vec p = broadcast(-2.72614225801306e-10f);
    p = madd(p, s, broadcast(2.77068142495902e-08f));
    p = madd(p, s, broadcast(-2.10102402082508e-06f));
    p = madd(p, s, broadcast(-5.69250639462346e-05f));
    p = madd(p, s, broadcast(-7.34990630326855e-04f));
    p = madd(p, s, broadcast(-2.95459980854025e-03f));
    p = madd(p, s, broadcast(-1.60960333262415e-02f));
    vec q = broadcast(-1.45660718464996e-05f);
    q = madd(q, s, broadcast(-2.13374055278905e-04f));
    q = madd(q, s, broadcast(-1.68282697438203e-03f));
    q = madd(q, s, broadcast(-7.37332916720468e-03f));
    q = madd(q, s, broadcast(-1.42647390514189e-02f));
    return (x * p) / q;
}

inline vec gelu_of(vec x) {
    const vec half = x * broadcast(0.5f);
    return madd(half, erf_of(x * broadcast(0.70710678f)), half);
}

// Columns that are multiplied together, and rows: their sums fit into the registers.
constexpr int64_t panel = 2 * lanes;
constexpr int64_t tile_rows = lanes == 16 ? 12 : 6;

// Adds A [Rows, k] * B [k, panel] in the order of k; rows of A are `lda` apart. The sums go to C, rows `ldc` apart.
template <int Rows, typename Number>
void tile(int64_t k, const float* a, int64_t lda, const Number* b, float* c, int64_t ldc) {
    vec sums[Rows][2];
    _Pragma("GCC unroll 12") for (int i = 0; i < Rows; ++i) sums[i][0] = sums[i][1] = broadcast(0);
    for (int64_t p = 0; p < k; ++p, b += panel) {
        __builtin_prefetch(b + 16 * panel);
        const vec left = load(b);
        const vec right = load(b + lanes);
        _Pragma("GCC unroll 12") for (int i = 0; i < Rows; ++i) {
            const vec x = broadcast(a[i * lda + p]);
            sums[i][0] = madd(x, left, sums[i][0]);
            sums[i][1] = madd(x, right, sums[i][1]);
        }
    }
    _Pragma("GCC unroll 12") for (int i = 0; i < Rows; ++i) {
        store(c + i * ldc, sums[i][0]);
        store(c + i * ldc + lanes, sums[i][1]);
    }
}

// For at most `tile_rows` rows.
template <typename Number>
void multiply_tile(int64_t rows, int64_t k, const float* a, int64_t lda, const Number* b, float* c, int64_t ldc) {
    switch (rows) {
    case 1: return tile<1>(k, a, lda, b, c, ldc);
    case 2: return tile<2>(k, a, lda, b, c, ldc);
    case 3: return tile<3>(k, a, lda, b, c, ldc);
    case 4: return tile<4>(k, a, lda, b, c, ldc);
    case 5: return tile<5>(k, a, lda, b, c, ldc);
    case 6: return tile<6>(k, a, lda, b, c, ldc);
#if HALKSPEECH_LANES == 16
    case 7: return tile<7>(k, a, lda, b, c, ldc);
    case 8: return tile<8>(k, a, lda, b, c, ldc);
    case 9: return tile<9>(k, a, lda, b, c, ldc);
    case 10: return tile<10>(k, a, lda, b, c, ldc);
    case 11: return tile<11>(k, a, lda, b, c, ldc);
    case 12: return tile<12>(k, a, lda, b, c, ldc);
#endif
    }
}
