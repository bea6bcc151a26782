// The kernels of the runner on a GPU: row-major 16-bit floats unless a type says otherwise, `width` is that of all
// heads together, a head has 64 elements. Each function starts work on the stream and returns; it throws if that is
// refused. Arguments are checked by the callers.

#pragma once

#include <cstdint>

#include <cuda_fp16.h>

#include "../../cuda/half8.h"
#include "../../cuda/layer_norm.h"
#include "../runner.h"
#include "launch.h"

namespace halkspeech::cuda {

constexpr int64_t supported_head_width = 64;

// A window in a call of the encoder. Behind and before its frames stand rows of zeros, so that the rows of all windows
// can be convolved in one product: `first_row` and `rows` are even, and there are at least two rows more than frames.
struct WindowRows {
    int64_t features;  // place of its [mels, frames] among the features of all windows
    int32_t frames, first_row, rows;
};

// Row r + 1 of a window gets the frames r - 1, r and r + 1, [3, mels], zeros for those that do not exist; the other
// rows are zeros.
void unfold_features(
    const Stream& stream, const float* features, const WindowRows* windows, int64_t window_count, int64_t max_rows,
    int64_t mels, __half* rows
);

// gelu(sums + bias) for the rows of frames; zeros in the rows around them, and in one row behind all windows.
void finish_first_convolution(
    const Stream& stream, const float* sums, const __half* bias, const WindowRows* windows, int64_t window_count,
    int64_t max_rows, int64_t all_rows, int64_t width, __half* rows
);

// A row of the layers' input: gelu(sums[from] + bias) + positions[position].
struct EncoderRow {
    int32_t from, position;
};
void finish_second_convolution(
    const Stream& stream, const float* sums, const __half* bias, const EncoderRow* rows, int64_t row_count,
    const float* positions, int64_t width, __half* x
);

void layer_norm(
    const Stream& stream, RowShape rows, const __half* input, const __half* gamma, const __half* beta, float epsilon,
    __half* output
);
// x = gelu(x + bias).
void add_bias_and_gelu(const Stream& stream, RowShape rows, const __half* bias, __half* x);

// A row of the decoder's input. Its hypothesis has `length` cells, from `cells` on in a list; the last is its own.
struct RowInput {
    int32_t token, position, cell, length;
    int64_t cells;
};

struct DecoderRows {
    const RowInput* inputs;
    const int32_t* cells;
    int64_t count, max_length;
};

// Keys and values of cells: chunks of 2^shift cells, [layers, cells of a chunk, keys and values].
struct CellMemory {
    __half* const* chunks;
    int32_t shift;
    int64_t cell_width;  // 2 * width

    __device__ __half* at(int64_t layer, int32_t cell) const {
        const int64_t cells = int64_t{1} << shift, within = cell & (cells - 1);
        return chunks[cell >> shift] + (layer * cells + within) * cell_width;
    }
};

// x = table[token] * scale + positions[position].
void embed(
    const Stream& stream, const DecoderRows& rows, const __half* table, float scale, const float* positions,
    int64_t width, __half* x
);
// Keys and values from `projected` [rows, 3 * width] to the rows' own cells.
void store_keys_values(
    const Stream& stream, const DecoderRows& rows, const __half* projected, const CellMemory& memory, int64_t layer,
    int64_t width
);
// Each row attends to the cells of its hypothesis; `projected` begins with the queries.
void attend_to_cells(
    const Stream& stream, const DecoderRows& rows, const __half* projected, const CellMemory& memory, int64_t layer,
    int64_t heads, float scale, __half* context
);

// Neighbouring rows that attend to the same encoding.
struct QueryGroup {
    const __half* keys_values;  // of layer 0; those of a layer are [positions, 2 * width]
    int32_t positions, first_row;
};
constexpr int max_group = 8;

// Each row of the groups, which have `count` rows, attends to its encoding.
void attend_to_encodings(
    const Stream& stream, const QueryGroup* groups, int64_t group_count, int count, int64_t max_positions,
    const __half* queries, int64_t layer, int64_t heads, float scale, __half* context
);

// scale * queries * keys of one head, [rows, positions].
void score_head(
    const Stream& stream, int64_t rows, const __half* queries, const __half* keys_values, int64_t positions,
    int64_t heads, int64_t head, float scale, float* scores
);

// The probability of each row's target among the first n tokens; 0 for targets behind them.
void find_probabilities(
    const Stream& stream, const float* logits, int64_t ld, int64_t n, const uint32_t* targets, int64_t rows,
    float* probabilities
);

// A rule (`hs_rule`) whose lists are on the GPU: places in the lists of `RuleTables`.
struct RowRule {
    float repetition_penalty;
    float factor;  // of log probabilities of a draw: 1 / temperature
    uint64_t key;
    uint32_t previous, previous_count;  // tokens, each once
    uint32_t banned, banned_count;      // tokens
    uint32_t ranges, range_count;
    uint32_t set, set_count;            // in `sets`
    uint32_t timestamp_contest;
    uint32_t pick, k;
};
struct RuleTables {
    const RowRule* rules;
    const uint32_t* tokens;
    const hs_range* ranges;
    const uint32_t* sets;
};
// [rows], [rows, stride].
struct PickedTokens {
    uint32_t* counts;
    uint32_t* tokens;
    float* log_probs;
    int64_t stride;
};
// The count of a row whose logits are not finite.
constexpr uint32_t no_numbers = UINT32_MAX;

// Applies each row's rule to its logits, which it overwrites, as `apply_rule` does on a CPU.
void pick_tokens(
    const Stream& stream, const RuleTables& tables, float* logits, int64_t ld, int64_t vocabulary, int64_t rows,
    const PickedTokens& picked
);

}  // namespace halkspeech::cuda
