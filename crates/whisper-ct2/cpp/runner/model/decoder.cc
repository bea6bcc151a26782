#include "decoder.h"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "threads.h"

namespace halkspeech {

Slot Decoder::new_slot(std::shared_ptr<const Encoding> encoding) const {
    check_encoding(encoding->model == model_);
    return Slot(std::move(encoding), static_cast<int64_t>(model_->decoder.layers.size()), model_->width());
}

void Decoder::embed(const std::vector<Input>& inputs) {
    const DecoderWeights& weights = model_->decoder;
    const int64_t width = model_->width();
    float* x = x_.reserve(static_cast<int64_t>(inputs.size()) * width);
    for (const Input& input : inputs) {
        check_input(input.token, weights.embedding_weights().outputs(), input.length, model_->max_tokens());
        weights.embedding_weights().weights_of(input.token, x);
        const float* position = weights.positions.data() + (input.length - 1) * width;
        for (int64_t j = 0; j < width; ++j) x[j] = x[j] * weights.embedding_scale + position[j];
        x += width;
    }
}

void Decoder::forward(const std::vector<Input>& inputs, AlignmentScores* scores) {
    const auto rows = static_cast<int64_t>(inputs.size());
    const int64_t width = model_->width();
    embed(inputs);
    float* x = x_.data();
    float* normed = normed_.reserve(rows * width);
    float* projected = projected_.reserve(rows * 3 * width);
    float* queries = queries_.reserve(rows * width);
    float* context = context_.reserve(rows * width);
    const Rows normed_rows = {rows, width, normed, width};
    const Rows context_rows = {rows, width, context, width};
    int64_t layer_number = 0;
    for (const DecoderLayer& layer : model_->decoder.layers) {
        layer.attention.norm(rows, x, normed);
        layer.attention.projection(normed_rows, projected);
        for (int64_t i = 0; i < rows; ++i) {
            const Input& input = inputs[static_cast<size_t>(i)];
            float* cell = input.slot->cell(layer_number, input.cells[input.length - 1]);
            std::copy_n(projected + i * 3 * width + width, 2 * width, cell);
        }
        attend_to_texts(inputs, layer_number);
        layer.attention.output(context_rows, x, false, x);

        layer.cross_attention.norm(rows, x, normed);
        layer.cross_attention.queries(normed_rows, queries);
        attend_to_encodings(inputs, layer_number);
        if (scores != nullptr) add_scores(inputs, layer_number, *scores);
        layer.cross_attention.output(context_rows, x, false, x);

        const FeedForward& forward = layer.feed_forward;
        const int64_t inner_width = forward.inner.outputs();
        float* inner = inner_.reserve(rows * inner_width);
        forward.norm(rows, x, normed);
        forward.inner(normed_rows, inner, true);
        forward.outer({rows, inner_width, inner, inner_width}, x, false, x);
        ++layer_number;
    }
}

void Decoder::attend_to_texts(const std::vector<Input>& inputs, int64_t layer) {
    const Heads& heads = model_->decoder.heads;
    const int64_t width = heads.total();
    std::vector<size_t> first_keys;
    keys_.clear();
    int64_t longest = 0;
    for (const Input& input : inputs) {
        first_keys.push_back(keys_.size());
        for (int64_t t = 0; t < input.length; ++t) keys_.push_back(input.slot->cell(layer, input.cells[t]));
        longest = std::max(longest, input.length);
    }
    float* workspace = workspace_.reserve(omp_get_max_threads() * longest);
    const float* projected = projected_.data();
    float* context = context_.data();
    parallel_for(static_cast<int64_t>(inputs.size()), [&](int64_t i, int thread) {
        model_->kernels->attend_to_rows(
            inputs[static_cast<size_t>(i)].length, heads.count, heads.width, heads.scale, projected + i * 3 * width,
            keys_.data() + first_keys[static_cast<size_t>(i)], width, context + i * width, workspace + thread * longest
        );
    });
}

void Decoder::attend_to_encodings(const std::vector<Input>& inputs, int64_t layer) {
    const Heads& heads = model_->decoder.heads;
    const int64_t width = heads.total();
    // Rows of a slot read its encoding together.
    std::vector<size_t> begins;
    int64_t longest = 0;
    for (size_t i = 0; i < inputs.size(); ++i) {
        if (i == 0 || inputs[i].slot != inputs[i - 1].slot) begins.push_back(i);
        longest = std::max(longest, inputs[i].slot->encoding().positions);
    }
    begins.push_back(inputs.size());
    const auto attend = [&](const auto& attention, auto layer_of) {
        const int64_t size = attention.workspace_size(longest);
        float* workspace = workspace_.reserve(omp_get_max_threads() * size);
        const float* queries = queries_.data();
        float* context = context_.data();
        const auto groups = static_cast<int64_t>(begins.size()) - 1;
        parallel_for(groups * heads.count, [&](int64_t work, int thread) {
            const auto group = static_cast<size_t>(work / heads.count);
            const int64_t head = work % heads.count;
            const auto first = static_cast<int64_t>(begins[group]);
            const Encoding& encoding = inputs[begins[group]].slot->encoding();
            const auto* packed = layer_of(encoding) + head * attention.packed_size(encoding.positions, heads.width);
            const int64_t cell = first * width + head * heads.width;
            attention.attend(
                static_cast<int64_t>(begins[group + 1]) - first, encoding.positions, heads.width, heads.scale,
                queries + cell, width, packed, context + cell, width, workspace + thread * size
            );
        });
    };
    const auto at = static_cast<size_t>(layer);
    if (model_->has_half_encodings())
        attend(model_->kernels->half_attention, [at](const Encoding& e) { return e.half_layers[at].data(); });
    else
        attend(model_->kernels->attention, [at](const Encoding& e) { return e.layers[at].data(); });
}

// All rows are of one slot.
void Decoder::add_scores(const std::vector<Input>& inputs, int64_t layer, AlignmentScores& scores) const {
    const Heads& heads = model_->decoder.heads;
    const Encoding& encoding = inputs.front().slot->encoding();
    const auto at = static_cast<size_t>(layer);
    for (size_t number = 0; number < model_->alignment_heads.size(); ++number) {
        const auto [head_layer, head] = model_->alignment_heads[number];
        if (head_layer != layer) continue;
        for (int64_t i = 0; i < scores.rows; ++i) {
            float* to = scores.values.data() + (static_cast<int64_t>(number) * scores.rows + i) * scores.positions;
            const float* query = queries_.data() + i * heads.total() + head * heads.width;
            const auto score = [&](const auto& attention, const auto* packed) {
                packed += head * attention.packed_size(encoding.positions, heads.width);
                attention.scores(encoding.positions, heads.width, query, packed, to);
            };
            if (model_->has_half_encodings())
                score(model_->kernels->half_attention, encoding.half_layers[at].data());
            else
                score(model_->kernels->attention, encoding.layers[at].data());
            for (int64_t j = 0; j < scores.positions; ++j) to[j] *= heads.scale;
        }
    }
}

float* Decoder::logits(int64_t first, int64_t count, int64_t n) {
    const int64_t width = model_->width();
    float* logits = logits_.reserve(count * n);
    model_->decoder.norm(count, x_.data() + first * width, normed_.data());
    model_->decoder.projection.first(n, {count, width, normed_.data(), width}, logits);
    return logits;
}

void Decoder::detect_language(
    const std::vector<std::shared_ptr<const Encoding>>& encodings, float* probabilities
) {
    const auto& languages = model_->tokens.languages;
    check_languages(languages);
    if (encodings.empty()) return;
    std::vector<std::unique_ptr<Slot>> slots;
    std::vector<Input> inputs;
    static constexpr int32_t first_cell[] = {0};
    for (const auto& encoding : encodings) {
        slots.push_back(std::make_unique<Slot>(new_slot(encoding)));
        if (slots.back()->add_cell() != first_cell[0]) throw std::logic_error("the first cell is not the first");
        inputs.push_back({slots.back().get(), model_->tokens.start_of_transcript, first_cell, 1});
    }
    forward(inputs);
    const int64_t n = *std::max_element(languages.begin(), languages.end()) + int64_t{1};
    const float* row = logits(0, static_cast<int64_t>(inputs.size()), n);
    for (size_t i = 0; i < inputs.size(); ++i, row += n) {
        float largest = row[languages.front()], sum = 0;
        for (const uint32_t language : languages) largest = std::max(largest, row[language]);
        float* to = probabilities + i * languages.size();
        for (size_t j = 0; j < languages.size(); ++j) sum += to[j] = std::exp(row[languages[j]] - largest);
        for (size_t j = 0; j < languages.size(); ++j) to[j] /= sum;
    }
}

uint64_t Decoder::open(
    std::shared_ptr<const Encoding> encoding, const std::vector<uint32_t>& prompt, float* no_speech_prob
) {
    const auto [tokens, start]
        = tokens_to_read(prompt, model_->tokens.start_of_transcript, no_speech_prob != nullptr);
    auto slot = std::make_unique<Slot>(new_slot(std::move(encoding)));
    Cells cells;
    if (!tokens.empty()) forward(inputs_of(*slot, tokens, cells));
    if (no_speech_prob != nullptr) {
        const int64_t n = model_->vocabulary();
        const float* row = logits(start, 1, n);
        *no_speech_prob = std::exp(row[model_->tokens.no_speech] - model_->kernels->log_sum_exp(n, row));
    }
    cells.resize(prompt.size() - 1);
    std::vector<Cells> hypotheses;
    hypotheses.push_back(std::move(cells));
    slot->set_hypotheses(std::move(hypotheses));
    slots_.emplace(next_slot_, std::move(slot));
    return next_slot_++;
}

void Decoder::step(const StepRows& step, const StepCandidates& to) {
    const int64_t n = model_->vocabulary();
    StepInputs<Slot> inputs(step, slots_, banned_sets_, n, to.stride);
    const auto count = static_cast<int64_t>(step.count);
    if (count == 0) return;
    forward(inputs.rows);
    float* scores = logits(0, count, n);
    parallel_for(count, [&](int64_t at, int) {
        const size_t i = inputs.order[static_cast<size_t>(at)];
        to.counts[i] = apply_rule(
            *model_->kernels, step.rows[i].rule, banned_sets_, {scores + at * n, n}, to.tokens + i * to.stride,
            to.log_probs + i * to.stride
        );
    });
    inputs.keep_hypotheses();
}

AlignmentScores Decoder::read(
    std::shared_ptr<const Encoding> encoding, const std::vector<uint32_t>& tokens, size_t first_target,
    const std::vector<uint32_t>& targets, float* probabilities
) {
    Slot slot = new_slot(std::move(encoding));
    AlignmentScores scores = {static_cast<int64_t>(tokens.size()), slot.encoding().positions, {}};
    scores.values.resize(model_->alignment_heads.size() * tokens.size() * static_cast<size_t>(scores.positions));
    Cells cells;
    forward(inputs_of(slot, tokens, cells), &scores);
    const int64_t n = model_->tokens.end_of_text;
    // A few rows of logits at a time.
    constexpr size_t at_once = 32;
    for (size_t first = 0; first < targets.size(); first += at_once) {
        const size_t count = std::min(at_once, targets.size() - first);
        const float* row = logits(static_cast<int64_t>(first_target + first), static_cast<int64_t>(count), n);
        for (size_t i = first; i < first + count; ++i, row += n) {
            const bool is_text = targets[i] < n;
            probabilities[i] = is_text ? std::exp(row[targets[i]] - model_->kernels->log_sum_exp(n, row)) : 0.0f;
        }
    }
    return scores;
}

hs_decoder_usage Decoder::usage() const {
    hs_decoder_usage usage = {slots_.size(), 0, 0};
    for (const auto& [number, slot] : slots_) {
        usage.cells += static_cast<uint64_t>(slot->cells());
        usage.bytes += static_cast<uint64_t>(slot->bytes());
    }
    return usage;
}

}  // namespace halkspeech
