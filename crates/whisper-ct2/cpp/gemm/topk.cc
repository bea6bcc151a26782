// The likeliest tokens of a step, on a processor with AVX2: one pass over the scores, where CTranslate2 numbers them
// all and sorts the numbers. The linker puts this in the place of its (build.rs). Compiled with access to private
// members.

#include <immintrin.h>
#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <numeric>

#include <ctranslate2/ops/topk.h>

#include "avx2.h"
#include "plain.h"

using ctranslate2::DataType;
using ctranslate2::dim_t;
using ctranslate2::StorageView;
using ctranslate2::ops::TopK;

namespace {

// More are not looked for at a time, so a new one is put into its place by moving a few.
constexpr dim_t most = 64;

// Scores that are looked at together.
constexpr dim_t block = 32;

AVX2 bool has_above(float bound, const float* x) {
    __m256 above = _mm256_setzero_ps();
    UNROLL for (int e = 0; e < 4; ++e) above =
        _mm256_or_ps(above, _mm256_cmp_ps(_mm256_loadu_ps(x + 8 * e), halkspeech::broadcast(bound), _CMP_GT_OQ));
    return _mm256_movemask_ps(above) != 0;
}

// The k largest of n, the largest first, and of equal ones the first.
void top_k(dim_t k, dim_t n, const float* x, float* values, int32_t* ids) {
    std::iota(ids, ids + k, 0);
    std::stable_sort(ids, ids + k, [x](int32_t a, int32_t b) { return x[a] > x[b]; });
    for (dim_t i = 0; i < k; ++i) values[i] = x[ids[i]];
    const auto look_at = [&](dim_t j) {
        if (!(x[j] > values[k - 1])) return;
        dim_t place = k - 1;
        for (; place > 0 && x[j] > values[place - 1]; --place) {
            values[place] = values[place - 1];
            ids[place] = ids[place - 1];
        }
        values[place] = x[j];
        ids[place] = static_cast<int32_t>(j);
    };
    dim_t j = k;
    for (; j + block <= n; j += block) {
        if (!has_above(values[k - 1], x + j)) continue;
        for (dim_t i = j; i < j + block; ++i) look_at(i);
    }
    for (; j < n; ++j) look_at(j);
}

}  // namespace

extern "C" {

void __real__ZNK11ctranslate23ops4TopKclERKNS_11StorageViewERS2_S5_(
    const TopK*, const StorageView&, StorageView&, StorageView&
);
// void TopK::operator()(const StorageView&, StorageView&, StorageView&) const
void __wrap__ZNK11ctranslate23ops4TopKclERKNS_11StorageViewERS2_S5_(
    const TopK* op, const StorageView& x, StorageView& values, StorageView& ids
) {
    const dim_t k = op->_k, n = x.dim(-1);
    if (!halkspeech::is_float32_on_cpu(x) || !halkspeech::has_avx2() || k > std::min(most, n))
        return __real__ZNK11ctranslate23ops4TopKclERKNS_11StorageViewERS2_S5_(
            op, x, values, ids
        );
    values.resize({x.size() / n, k});
    ids.resize({x.size() / n, k});
    #pragma omp parallel for schedule(static) if (omp_get_max_threads() > 1)
    for (dim_t i = 0; i < x.size() / n; ++i)
        top_k(k, n, x.data<float>() + i * n, values.data<float>() + i * k, ids.data<int32_t>() + i * k);
}

// For tests: the ids of the k largest of n.
void halkspeech_top_k(int64_t k, int64_t n, const float* x, int32_t* ids) {
    const StorageView input({1, n}, const_cast<float*>(x));
    StorageView values, found(DataType::INT32);
    const TopK op(k);
    op(input, values, found);
    std::copy_n(found.data<int32_t>(), k, ids);
}

}  // extern "C"
