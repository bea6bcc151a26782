// What becomes of the logits, row by row: penalty, bans, contest of the time stamps, log softmax, best tokens or a
// draw; only the tokens leave the GPU. 32-bit floats. The rules are those of `apply_rule` (model/logits.cc).
//
// A block for each row, whose logits (207 KB for 51,866 tokens) it reads about five times from the second cache.

#include <climits>

#include "../model/noise.h"
#include "block.cuh"
#include "kernels.h"

namespace halkspeech::cuda {

namespace {

constexpr int threads = 512;

// A token and its score; of equal ones the first in the vocabulary is better.
struct Scored {
    float score;
    int32_t token;

    __device__ Scored shuffled(int step) const {
        return {__shfl_xor_sync(all_lanes, score, step), __shfl_xor_sync(all_lanes, token, step)};
    }
};

__device__ Scored no_token() { return {negative_infinity(), INT_MAX}; }

__device__ Scored better(const Scored& a, const Scored& b) {
    return a.score > b.score || (a.score == b.score && a.token < b.token) ? a : b;
}

__device__ Scored best_of_block(const Scored& own) {
    return combine_block(own, [](const Scored& a, const Scored& b) { return better(a, b); });
}

__device__ void penalize(const RowRule& rule, const uint32_t* tokens, float* logits) {
    for (uint32_t i = threadIdx.x; i < rule.previous_count; i += threads) {
        float& logit = logits[tokens[rule.previous + i]];
        logit = logit < 0 ? logit * rule.repetition_penalty : logit / rule.repetition_penalty;
    }
}

__device__ void ban(const RowRule& rule, const RuleTables& tables, float* logits) {
    const float banned = negative_infinity();
    for (uint32_t i = threadIdx.x; i < rule.set_count; i += threads) logits[tables.sets[rule.set + i]] = banned;
    for (uint32_t i = 0; i < rule.range_count; ++i) {
        const hs_range range = tables.ranges[rule.ranges + i];
        for (uint32_t token = range.begin + threadIdx.x; token < range.end; token += threads) logits[token] = banned;
    }
    for (uint32_t i = threadIdx.x; i < rule.banned_count; i += threads)
        logits[tables.tokens[rule.banned + i]] = banned;
}

// The best of the tokens first, first + step, ...
__device__ Scored best_of(const float* logits, int64_t first, int64_t step, int64_t vocabulary) {
    Scored best = no_token();
    for (int64_t token = first; token < vocabulary; token += step)
        best = better({logits[token], static_cast<int32_t>(token)}, best);
    return best;
}

// Writes the k best tokens. Each thread knows the best of its own tokens; when one is taken, its warp looks for the
// thread's next.
__device__ uint32_t pick_best(
    const RowRule& rule, float* logits, int64_t vocabulary, float total, uint32_t* tokens, float* log_probs
) {
    Scored own = best_of(logits, threadIdx.x, threads, vocabulary);
    uint32_t count = 0;
    for (; count < rule.k; ++count) {
        const Scored best = best_of_block(own);
        if (best.score == negative_infinity()) break;
        const auto owner = static_cast<unsigned>(best.token % threads);
        if (threadIdx.x == 0) {
            tokens[count] = static_cast<uint32_t>(best.token);
            log_probs[count] = best.score - total;
        }
        if (threadIdx.x / lanes != owner / lanes) continue;
        if (threadIdx.x == owner) logits[best.token] = negative_infinity();
        __syncwarp();
        Scored next = best_of(logits, owner + int64_t{threadIdx.x % lanes} * threads, lanes * threads, vocabulary);
        for (int step = lanes / 2; step > 0; step /= 2) next = better(next, next.shuffled(step));
        if (threadIdx.x == owner) own = next;
    }
    return count;
}

// Writes the token with the largest noisy score. Most tokens cannot win whatever their noise. If no score is finite,
// because the temperature is very small, it is the likeliest.
__device__ void draw(
    const RowRule& rule, const float* logits, int64_t vocabulary, float total, uint32_t* tokens, float* log_probs
) {
    const auto scaled = [&](float logit) { return noise::product(logit - total, rule.factor); };
    const auto score_of = [&](float logit, int32_t token) {
        return noise::sum(scaled(logit), gumbel_noise(rule.key, static_cast<uint32_t>(token)));
    };
    const Scored likeliest = best_of_block(best_of(logits, threadIdx.x, threads, vocabulary));
    const float enough = score_of(likeliest.score, likeliest.token);
    Scored own = no_token();
    for (int64_t token = threadIdx.x; token < vocabulary; token += threads) {
        const float logit = logits[token];
        if (logit == negative_infinity() || noise::sum(scaled(logit), max_gumbel_noise) < enough) continue;
        const auto number = static_cast<int32_t>(token);
        const float score = score_of(logit, number);
        if (score > negative_infinity()) own = better({score, number}, own);
    }
    const Scored drawn = best_of_block(own);
    if (threadIdx.x != 0) return;
    const int32_t token = drawn.token == no_token().token ? likeliest.token : drawn.token;
    tokens[0] = static_cast<uint32_t>(token);
    log_probs[0] = logits[token] - total;
}

__global__ void pick_tokens_kernel(
    RuleTables tables, float* all_logits, int64_t ld, int64_t vocabulary, PickedTokens picked
) {
    const int64_t row = blockIdx.x;
    float* logits = all_logits + row * ld;
    const RowRule rule = tables.rules[row];
    penalize(rule, tables.tokens, logits);
    __syncthreads();
    ban(rule, tables, logits);
    __syncthreads();
    const int64_t contest = rule.timestamp_contest;
    if (contest != 0) {
        const float text = max_of(logits, 0, contest), stamps = log_sum_exp(logits, contest, vocabulary);
        if (stamps > text) {
            for (int64_t token = threadIdx.x; token < contest; token += threads) logits[token] = negative_infinity();
        }
        __syncthreads();
    }
    const float total = log_sum_exp(logits, 0, vocabulary);
    uint32_t count = 0;
    if (!(total < -negative_infinity())) {
        count = no_numbers;
    } else if (total > negative_infinity()) {
        uint32_t* tokens = picked.tokens + row * picked.stride;
        float* log_probs = picked.log_probs + row * picked.stride;
        if (rule.pick == HS_DRAW) {
            draw(rule, logits, vocabulary, total, tokens, log_probs);
            count = 1;
        } else {
            count = pick_best(rule, logits, vocabulary, total, tokens, log_probs);
        }
    }
    if (threadIdx.x == 0) picked.counts[row] = count;
}

// A block for each row.
__global__ void find_probabilities_kernel(
    const float* logits, int64_t ld, int64_t n, const uint32_t* targets, float* probabilities
) {
    const float* row = logits + blockIdx.x * ld;
    const float total = log_sum_exp(row, 0, n);
    if (threadIdx.x != 0) return;
    const uint32_t target = targets[blockIdx.x];
    probabilities[blockIdx.x] = target < n ? expf(row[target] - total) : 0.0f;
}

}  // namespace

void pick_tokens(
    const Stream& stream, const RuleTables& tables, float* logits, int64_t ld, int64_t vocabulary, int64_t rows,
    const PickedTokens& picked
) {
    launch(
        stream, {dim3(static_cast<unsigned>(rows)), threads}, pick_tokens_kernel, tables, logits, ld, vocabulary, picked
    );
}

void find_probabilities(
    const Stream& stream, const float* logits, int64_t ld, int64_t n, const uint32_t* targets, int64_t rows,
    float* probabilities
) {
    launch(
        stream, {dim3(static_cast<unsigned>(rows)), threads}, find_probabilities_kernel, logits, ld, n, targets,
        probabilities
    );
}

}  // namespace halkspeech::cuda
