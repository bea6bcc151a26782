#include "decoder.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace halkspeech::cuda {

namespace {

// Products are made for multiples of these rows, so that few algorithms are selected.
constexpr int64_t rows_at_once = 8;
int64_t rounded_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

}  // namespace

GpuDecoder::GpuDecoder(std::shared_ptr<const GpuModel> model)
    : model_(std::move(model))
    , stream_(std::make_shared<Stream>(model_->stream->device()))
    , products_(stream_)
    , pool_(stream_, static_cast<int64_t>(model_->decoder_layers.size()), model_->width())
    , tables_(stream_)
    , x_(stream_)
    , normed_(stream_)
    , projected_(stream_)
    , queries_(stream_)
    , context_(stream_)
    , inner_(stream_)
    , logits_(stream_)
    , scores_(stream_)
    , probabilities_(stream_)
    , sets_(stream_)
    , picked_(stream_) {}

GpuDecoder::~GpuDecoder() {
    stream_->drain();
    slots_.clear();
}

uint32_t GpuDecoder::register_banned(std::vector<uint32_t> tokens) {
    const WorkScope scope(*stream_);
    std::vector<uint32_t> all = set_tokens_;
    all.insert(all.end(), tokens.begin(), tokens.end());
    // The earlier sets stay where they are until the copy is complete.
    DeviceBuffer<uint32_t> sets(stream_);
    uint32_t* to = sets.reserve(static_cast<int64_t>(all.size()));
    if (!all.empty())
        check(cudaMemcpyAsync(to, all.data(), all.size() * sizeof(uint32_t), cudaMemcpyHostToDevice, stream_->get()));
    stream_->synchronize();
    set_begins_.reserve(set_begins_.size() + 1);
    const uint32_t number = banned_sets_.add(std::move(tokens));
    set_begins_.push_back(static_cast<uint32_t>(set_tokens_.size()));
    set_tokens_ = std::move(all);
    sets_ = std::move(sets);
    return number;
}

std::unique_ptr<GpuSlot> GpuDecoder::new_slot(const SharedEncoding& encoding) {
    auto of_gpu = std::dynamic_pointer_cast<const GpuEncoding>(encoding);
    check_encoding(of_gpu != nullptr && of_gpu->model == model_);
    // Nothing of this stream reads it before it is written.
    of_gpu->ready.delay(*stream_);
    return std::make_unique<GpuSlot>(std::move(of_gpu), pool_);
}

GpuDecoder::Pass GpuDecoder::add_pass(const std::vector<Input>& inputs) {
    Pass pass;
    pass.rows = {nullptr, nullptr, static_cast<int64_t>(inputs.size()), 0};
    std::vector<RowInput> rows;
    std::vector<int32_t> cells;
    std::vector<std::vector<QueryGroup>> groups(max_group);
    for (size_t i = 0; i < inputs.size(); ++i) {
        const Input& input = inputs[i];
        check_input(input.token, model_->embeddings.outputs, input.length, model_->max_tokens);
        const auto length = static_cast<int32_t>(input.length);
        rows.push_back({
            static_cast<int32_t>(input.token), length - 1, input.slot->in_pool(input.cells[length - 1]), length,
            static_cast<int64_t>(cells.size()),
        });
        for (int32_t t = 0; t < length; ++t) cells.push_back(input.slot->in_pool(input.cells[t]));
        pass.rows.max_length = std::max(pass.rows.max_length, input.length);
    }
    for (size_t first = 0, end = 0; first < inputs.size(); first = end) {
        const GpuSlot* slot = inputs[first].slot;
        while (end < inputs.size() && end - first < max_group && inputs[end].slot == slot) ++end;
        const GpuEncoding& encoding = slot->encoding();
        groups[end - first - 1].push_back({
            encoding.keys_values.data(), static_cast<int32_t>(encoding.position_count), static_cast<int32_t>(first),
        });
        pass.max_positions = std::max(pass.max_positions, encoding.position_count);
    }
    pass.inputs = tables_.add(rows);
    pass.cells = tables_.add(cells);
    pass.chunks = tables_.add(pool_.chunks());
    for (const auto& of_count : groups) {
        pass.groups.push_back(tables_.add(of_count));
        pass.group_counts.push_back(static_cast<int64_t>(of_count.size()));
    }
    return pass;
}

void GpuDecoder::forward(Pass& pass, float* scores, const GpuEncoding* encoding) {
    pass.rows.inputs = tables_.at<RowInput>(pass.inputs);
    pass.rows.cells = tables_.at<int32_t>(pass.cells);
    const CellMemory memory = pool_.memory(tables_.at<__half*>(pass.chunks));
    const int64_t rows = pass.rows.count, width = model_->width(), heads = model_->decoder_heads.count;
    const float scale = model_->decoder_heads.scale;
    // The products' rows beyond these are never read.
    const int64_t rounded = rounded_up(rows, rows_at_once);
    __half* x = x_.reserve(rounded * width);
    __half* normed = normed_.reserve(rounded * width);
    __half* projected = projected_.reserve(rounded * 3 * width);
    __half* queries = queries_.reserve(rounded * width);
    __half* context = context_.reserve(rounded * width);
    embed(
        *stream_, pass.rows, model_->embeddings.weights, model_->embedding_scale, model_->decoder_positions, width, x
    );
    int64_t layer_number = 0;
    for (const GpuDecoderLayer& layer : model_->decoder_layers) {
        norm(layer.norm, x, rows);
        multiply(layer.projection, rounded, normed, projected);
        store_keys_values(*stream_, pass.rows, projected, memory, layer_number, width);
        attend_to_cells(*stream_, pass.rows, projected, memory, layer_number, heads, scale, context);
        multiply(layer.output, rounded, context, x, x);

        norm(layer.cross_norm, x, rows);
        multiply(layer.queries, rounded, normed, queries);
        attend_to_encodings(pass, layer_number);
        if (scores != nullptr) add_scores(pass, layer_number, *encoding, scores);
        multiply(layer.cross_output, rounded, context, x, x);

        const GpuFeedForward& forward = layer.feed_forward;
        __half* inner = inner_.reserve(rounded * forward.inner.outputs);
        norm(forward.norm, x, rows);
        multiply({forward.inner.outputs, width, forward.inner.weights, nullptr}, rounded, normed, inner);
        add_bias_and_gelu(*stream_, {rows, forward.inner.outputs}, forward.inner.bias, inner);
        multiply(forward.outer, rounded, inner, x, x);
        ++layer_number;
    }
}

void GpuDecoder::attend_to_encodings(const Pass& pass, int64_t layer) {
    for (int count = 1; count <= max_group; ++count) {
        const auto at = static_cast<size_t>(count) - 1;
        if (pass.group_counts[at] == 0) continue;
        cuda::attend_to_encodings(
            *stream_, tables_.at<QueryGroup>(pass.groups[at]), pass.group_counts[at], count, pass.max_positions,
            queries_.data(), layer, model_->decoder_heads.count, model_->decoder_heads.scale, context_.data()
        );
    }
}

void GpuDecoder::add_scores(const Pass& pass, int64_t layer, const GpuEncoding& encoding, float* scores) {
    const int64_t rows = pass.rows.count, positions = encoding.position_count;
    const __half* keys_values = encoding.keys_values.data() + layer * positions * 2 * model_->width();
    for (const auto& [head_layer, head] : model_->alignment_heads) {
        if (head_layer == layer)
            score_head(
                *stream_, rows, queries_.data(), keys_values, positions, model_->decoder_heads.count, head,
                model_->decoder_heads.scale, scores
            );
        scores += rows * positions;
    }
}

void GpuDecoder::norm(const Norm& norm, const __half* x, int64_t rows) {
    layer_norm(*stream_, {rows, model_->width()}, x, norm.gamma, norm.beta, norm.epsilon, normed_.data());
}

void GpuDecoder::multiply(
    const Matrix& matrix, int64_t rows, const __half* input, __half* output, const __half* residual
) {
    Product product = {rows, matrix.outputs, matrix.inputs, input, matrix.inputs, matrix.weights, matrix.inputs};
    product.output = output;
    product.bias = matrix.bias;
    product.residual = residual;
    products_.multiply(product);
}

float* GpuDecoder::logits(int64_t first, int64_t count, int64_t n, int64_t* ld) {
    const Matrix& matrix = model_->projection;
    *ld = rounded_up(n, 8);
    const int64_t rounded = rounded_up(count, rows_at_once), width = model_->width();
    float* logits = logits_.reserve(rounded * *ld);
    norm(model_->decoder_norm, x_.data() + first * width, count);
    Product product = {rounded, *ld, width, normed_.data(), width, matrix.weights, width};
    product.sums = logits;
    products_.multiply(product);
    return logits;
}

void GpuDecoder::step(const StepRows& step, const StepCandidates& to) {
    const WorkScope scope(*stream_);
    StepInputs<GpuSlot> inputs(step, slots_, banned_sets_, model_->vocabulary, to.stride);
    const size_t count = step.count;
    RuleLists rules;
    for (const size_t i : inputs.order) rules.add(step.rows[i].rule, {set_begins_, banned_sets_});
    if (count == 0) return;
    tables_.clear();
    rules.add_to(tables_);
    Pass pass = add_pass(inputs.rows);
    tables_.send();
    forward(pass);
    pick(static_cast<int64_t>(count), rules, static_cast<int64_t>(to.stride));

    const size_t numbers = count * (1 + 2 * to.stride);
    uint8_t* results = results_.reserve(numbers * sizeof(uint32_t));
    check(cudaMemcpyAsync(
        results, picked_.data(), numbers * sizeof(uint32_t), cudaMemcpyDeviceToHost, stream_->get()
    ));
    stream_->synchronize();
    const auto* counts = reinterpret_cast<const uint32_t*>(results);
    const uint32_t* tokens = counts + count;
    const auto* log_probs = reinterpret_cast<const float*>(tokens + count * to.stride);
    for (size_t at = 0; at < count; ++at) {
        if (counts[at] == no_numbers) throw std::runtime_error("the logits of a row are not finite");
        const size_t i = inputs.order[at];
        to.counts[i] = counts[at];
        std::copy_n(tokens + at * to.stride, counts[at], to.tokens + i * to.stride);
        std::copy_n(log_probs + at * to.stride, counts[at], to.log_probs + i * to.stride);
    }
    inputs.keep_hypotheses();
}

void GpuDecoder::pick(int64_t count, const RuleLists& rules, int64_t stride) {
    uint32_t* counts = picked_.reserve(count * (1 + 2 * stride));
    uint32_t* tokens = counts + count;
    auto* log_probs = reinterpret_cast<float*>(tokens + count * stride);
    RuleTables tables = rules.on_gpu(tables_, sets_.data());
    for (int64_t first = 0; first < count; first += max_logit_rows) {
        const int64_t at_once = std::min(max_logit_rows, count - first);
        int64_t ld = 0;
        float* of_rows = logits(first, at_once, model_->vocabulary, &ld);
        const PickedTokens picked = {counts + first, tokens + first * stride, log_probs + first * stride, stride};
        pick_tokens(*stream_, tables, of_rows, ld, model_->vocabulary, at_once, picked);
        tables.rules += at_once;
    }
}

hs_decoder_usage GpuDecoder::usage() const {
    hs_decoder_usage usage = {slots_.size(), 0, 0};
    for (const auto& [number, slot] : slots_) usage.cells += static_cast<uint64_t>(slot->cells());
    usage.bytes = usage.cells * static_cast<uint64_t>(pool_.cell_bytes());
    return usage;
}

}  // namespace halkspeech::cuda
