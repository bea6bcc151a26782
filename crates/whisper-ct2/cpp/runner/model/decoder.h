// Whisper's decoder: rows of any slots, at any positions, in one pass.

#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "buffer.h"
#include "encoding.h"
#include "logits.h"
#include "model.h"
#include "slots.h"
#include "step.h"

namespace halkspeech {

class Decoder {
public:
    explicit Decoder(std::shared_ptr<const Model> model) : model_(std::move(model)) {}

    const Model& model() const { return *model_; }
    BannedSets& banned_sets() { return banned_sets_; }

    // All on the calling thread's OpenMP threads.

    // [encodings, languages].
    void detect_language(const std::vector<std::shared_ptr<const Encoding>>& encodings, float* probabilities);
    uint64_t open(
        std::shared_ptr<const Encoding> encoding, const std::vector<uint32_t>& prompt, float* no_speech_prob
    );
    void step(const StepRows& step, const StepCandidates& to);
    void close(uint64_t slot) { slots_.erase(slot); }

    // Reads tokens from the first position on. Writes the probabilities of `targets` among the tokens of text, each
    // behind the token of its row from row `first_target` on, and the scores of the alignment heads.
    AlignmentScores read(
        std::shared_ptr<const Encoding> encoding, const std::vector<uint32_t>& tokens, size_t first_target,
        const std::vector<uint32_t>& targets, float* probabilities
    );

    hs_decoder_usage usage() const;

private:
    using Input = DecoderInput<Slot>;

    Slot new_slot(std::shared_ptr<const Encoding> encoding) const;
    // Leaves the layers' output in `x_`.
    void forward(const std::vector<Input>& inputs, AlignmentScores* scores = nullptr);
    void embed(const std::vector<Input>& inputs);
    void attend_to_texts(const std::vector<Input>& inputs, int64_t layer);
    void attend_to_encodings(const std::vector<Input>& inputs, int64_t layer);
    void add_scores(const std::vector<Input>& inputs, int64_t layer, AlignmentScores& scores) const;
    // Logits [count, n] behind the rows from `first` on of the last `forward`, for the first n tokens.
    float* logits(int64_t first, int64_t count, int64_t n);

    std::shared_ptr<const Model> model_;
    BannedSets banned_sets_;
    std::unordered_map<uint64_t, std::unique_ptr<Slot>> slots_;
    uint64_t next_slot_ = 1;
    Buffer<float> x_, normed_, projected_, queries_, context_, inner_, logits_, workspace_;
    std::vector<const float*> keys_;
};

}  // namespace halkspeech
