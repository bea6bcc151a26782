// What a decoder on a GPU reads whole: prompts, single tokens for the languages, texts to align.

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "decoder.h"

namespace halkspeech::cuda {

void GpuDecoder::find_probabilities(
    int64_t first, int64_t count, int64_t n, const uint32_t* targets, float* probabilities
) {
    int64_t ld = 0;
    const float* of_rows = logits(first, count, n, &ld);
    float* found = probabilities_.reserve(count);
    cuda::find_probabilities(*stream_, of_rows, ld, n, targets, count, found);
    const size_t bytes = static_cast<size_t>(count) * sizeof(float);
    uint8_t* results = results_.reserve(bytes);
    check(cudaMemcpyAsync(results, found, bytes, cudaMemcpyDeviceToHost, stream_->get()));
    stream_->synchronize();
    std::memcpy(probabilities, results, bytes);
}

void GpuDecoder::detect_language(const std::vector<SharedEncoding>& encodings, float* probabilities) {
    const auto& languages = model_->tokens.languages;
    check_languages(languages);
    if (encodings.empty()) return;
    std::vector<std::unique_ptr<GpuSlot>> slots;
    const WorkScope scope(*stream_);
    std::vector<Input> inputs;
    static constexpr int32_t first_cell[] = {0};
    for (const auto& encoding : encodings) {
        slots.push_back(new_slot(encoding));
        if (slots.back()->add_cell() != first_cell[0]) throw std::logic_error("the first cell is not the first");
        inputs.push_back({slots.back().get(), model_->tokens.start_of_transcript, first_cell, 1});
    }
    tables_.clear();
    Pass pass = add_pass(inputs);
    tables_.send();
    forward(pass);
    const auto [first_token, last_token] = std::minmax_element(languages.begin(), languages.end());
    const int64_t begin = *first_token, n = *last_token + int64_t{1}, columns = n - begin;
    for (size_t first = 0; first < inputs.size(); first += max_logit_rows) {
        const size_t count = std::min<size_t>(max_logit_rows, inputs.size() - first);
        int64_t ld = 0;
        const float* of_rows = logits(static_cast<int64_t>(first), static_cast<int64_t>(count), n, &ld);
        const size_t bytes = static_cast<size_t>(columns) * sizeof(float);
        const auto* row = reinterpret_cast<const float*>(results_.reserve(count * bytes));
        check(cudaMemcpy2DAsync(
            results_.data(), bytes, of_rows + begin, static_cast<size_t>(ld) * sizeof(float), bytes, count,
            cudaMemcpyDeviceToHost, stream_->get()
        ));
        stream_->synchronize();
        for (size_t i = 0; i < count; ++i, row += columns) {
            const auto logit = [&](size_t j) { return row[languages[j] - begin]; };
            float largest = logit(0), sum = 0;
            for (size_t j = 0; j < languages.size(); ++j) largest = std::max(largest, logit(j));
            float* to = probabilities + (first + i) * languages.size();
            for (size_t j = 0; j < languages.size(); ++j) sum += to[j] = std::exp(logit(j) - largest);
            if (!std::isfinite(sum)) throw std::runtime_error("the logits of the languages are not finite");
            for (size_t j = 0; j < languages.size(); ++j) to[j] /= sum;
        }
    }
}

uint64_t GpuDecoder::open(
    const SharedEncoding& encoding, const std::vector<uint32_t>& prompt, float* no_speech_prob
) {
    const auto [tokens, start]
        = tokens_to_read(prompt, model_->tokens.start_of_transcript, no_speech_prob != nullptr);
    std::unique_ptr<GpuSlot> slot;
    const WorkScope scope(*stream_);
    slot = new_slot(encoding);
    Cells cells;
    if (!tokens.empty()) {
        tables_.clear();
        const size_t target = tables_.add(&model_->tokens.no_speech, 1);
        Pass pass = add_pass(inputs_of(*slot, tokens, cells));
        tables_.send();
        forward(pass);
        if (no_speech_prob != nullptr) {
            find_probabilities(
                start, 1, model_->vocabulary, tables_.at<uint32_t>(target), no_speech_prob
            );
            if (!std::isfinite(*no_speech_prob)) throw std::runtime_error("the logits of a prompt are not finite");
        }
    }
    stream_->synchronize();
    cells.resize(prompt.size() - 1);
    std::vector<Cells> hypotheses;
    hypotheses.push_back(std::move(cells));
    slot->set_hypotheses(std::move(hypotheses));
    slots_.emplace(next_slot_, std::move(slot));
    return next_slot_++;
}

Alignment GpuDecoder::align(const SharedEncoding& encoding, const AlignmentText& text) {
    const std::vector<uint32_t> read = tokens_to_align(model_->tokens, model_->alignment_heads.size(), text);
    std::unique_ptr<GpuSlot> slot;
    const WorkScope scope(*stream_);
    slot = new_slot(encoding);
    AlignmentScores scores = {static_cast<int64_t>(read.size()), slot->encoding().position_count, {}};
    scores.values.resize(model_->alignment_heads.size() * read.size() * static_cast<size_t>(scores.positions));
    float* on_gpu = scores_.reserve(static_cast<int64_t>(scores.values.size()));
    Cells cells;
    tables_.clear();
    const size_t targets = tables_.add(text.tokens);
    Pass pass = add_pass(inputs_of(*slot, read, cells));
    tables_.send();
    forward(pass, on_gpu, &slot->encoding());
    check(cudaMemcpyAsync(
        scores.values.data(), on_gpu, scores.values.size() * sizeof(float), cudaMemcpyDeviceToHost, stream_->get()
    ));
    Alignment alignment;
    const auto count = static_cast<int64_t>(text.tokens.size());
    alignment.probabilities.resize(text.tokens.size());
    if (count > 0)
        find_probabilities(
            static_cast<int64_t>(text.start.size()), count, model_->tokens.end_of_text,
            tables_.at<uint32_t>(targets), alignment.probabilities.data()
        );
    stream_->synchronize();
    alignment.path = alignment_path(scores, text);
    return alignment;
}

}  // namespace halkspeech::cuda
