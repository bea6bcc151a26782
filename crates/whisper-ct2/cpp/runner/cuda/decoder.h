// Whisper's decoder on a GPU: rows of any slots, at any positions, in one pass.

#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "../backend.h"
#include "../model/logits.h"
#include "cell_pool.h"
#include "kernels.h"
#include "memory.h"
#include "products.h"
#include "rules.h"
#include "weights.h"

namespace halkspeech::cuda {

// Rows of logits at a time; bounds their memory, and their number to far below 2^31.
constexpr int64_t max_logit_rows = 1024;

class GpuDecoder final : public TokenDecoder {
public:
    explicit GpuDecoder(std::shared_ptr<const GpuModel> model);
    ~GpuDecoder() override;

    uint32_t register_banned(std::vector<uint32_t> tokens) override;
    void detect_language(const std::vector<SharedEncoding>& encodings, float* probabilities) override;
    uint64_t open(
        const SharedEncoding& encoding, const std::vector<uint32_t>& prompt, float* no_speech_prob
    ) override;
    void close(uint64_t slot) noexcept override { slots_.erase(slot); }
    void step(const StepRows& step, const StepCandidates& to) override;
    Alignment align(const SharedEncoding& encoding, const AlignmentText& text) override;
    hs_decoder_usage usage() const override;

private:
    using Input = DecoderInput<GpuSlot>;
    // The tables of a pass, and their places.
    struct Pass {
        DecoderRows rows;
        size_t inputs, cells, chunks;
        std::vector<size_t> groups;  // of 1 to `max_group` rows
        std::vector<int64_t> group_counts;
        int64_t max_positions = 0;
    };

    std::unique_ptr<GpuSlot> new_slot(const SharedEncoding& encoding);
    // Adds the tables of a pass; after they are sent, `forward` leaves the layers' output in `x_`.
    Pass add_pass(const std::vector<Input>& inputs);
    // `scores` [alignment heads, rows, positions], or null; all rows are then of one slot.
    void forward(Pass& pass, float* scores = nullptr, const GpuEncoding* encoding = nullptr);
    void attend_to_encodings(const Pass& pass, int64_t layer);
    void add_scores(const Pass& pass, int64_t layer, const GpuEncoding& encoding, float* scores);
    void norm(const Norm& norm, const __half* x, int64_t rows);
    void multiply(
        const Matrix& matrix, int64_t rows, const __half* input, __half* output, const __half* residual = nullptr
    );
    // Logits [count, `ld`] behind the rows from `first` on of the last pass, for the first n tokens at least.
    float* logits(int64_t first, int64_t count, int64_t n, int64_t* ld);
    void find_probabilities(
        int64_t first, int64_t count, int64_t n, const uint32_t* targets, float* probabilities
    );
    void pick(int64_t count, const RuleLists& rules, int64_t stride);

    std::shared_ptr<const GpuModel> model_;
    SharedStream stream_;
    Products products_;
    CellPool pool_;
    BannedSets banned_sets_;
    std::vector<uint32_t> set_begins_;
    std::vector<uint32_t> set_tokens_;
    std::unordered_map<uint64_t, std::unique_ptr<GpuSlot>> slots_;
    uint64_t next_slot_ = 1;
    Tables tables_;
    PinnedBytes results_;
    DeviceBuffer<__half> x_, normed_, projected_, queries_, context_, inner_;
    DeviceBuffer<float> logits_, scores_, probabilities_;
    DeviceBuffer<uint32_t> sets_, picked_;
};

}  // namespace halkspeech::cuda
