#include "encoder.h"

#include <omp.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>
#include <vector>

#include "encoder_rows.h"
#include "refusals.h"
#include "threads.h"

namespace halkspeech {

namespace {

constexpr int64_t taps = 3;

}  // namespace

std::unique_ptr<Encoding> Encoder::encode(const Window& window) {
    const int64_t positions = convolve(window);
    apply_layers(positions);
    return project(positions);
}

const float* Encoder::output(const Window& window, int64_t* positions) {
    *positions = convolve(window);
    apply_layers(*positions);
    return normed_.data();
}

int64_t Encoder::convolve(const Window& window) {
    const EncoderWeights& weights = model_->encoder;
    const int64_t mels = model_->mels(), width = model_->width(), frames = window.frames;
    const int64_t max_time = model_->max_positions();
    check_frames(frames, max_time);

    // Rows of frames between two rows of zeros: three neighbouring rows are the input of an output row.
    float* input = input_.reserve((frames + 2) * mels);
    std::fill_n(input, mels, 0.0f);
    std::fill_n(input + (frames + 1) * mels, mels, 0.0f);
    for (int64_t mel = 0; mel < mels; ++mel) {
        for (int64_t frame = 0; frame < frames; ++frame)
            input[(frame + 1) * mels + mel] = window.features[mel * frames + frame];
    }
    float* convolved = convolved_.reserve((frames + 2) * width);
    std::fill_n(convolved, width, 0.0f);
    std::fill_n(convolved + (frames + 1) * width, width, 0.0f);
    weights.convolution1({frames, taps * mels, input, mels}, convolved + width, true);

    const int64_t time = (frames - 1) / 2 + 1;
    float* halved = context_.reserve(time * width);
    weights.convolution2({time, taps * width, convolved, 2 * width}, halved, true);

    const auto rows = encoder_rows(time, max_time);
    float* x = x_.reserve(static_cast<int64_t>(rows.size()) * width);
    for (const auto& [from, position] : rows) {
        const float* row = halved + from * width;
        const float* moved = weights.positions.data() + position * width;
        for (int64_t j = 0; j < width; ++j) *x++ = row[j] + moved[j];
    }
    return static_cast<int64_t>(rows.size());
}

void Encoder::apply_layers(int64_t positions) {
    const int64_t width = model_->width();
    float* x = x_.data();
    float* normed = normed_.reserve(positions * width);
    float* projected = projected_.reserve(positions * 3 * width);
    float* context = context_.reserve(positions * width);
    const Rows normed_rows = {positions, width, normed, width};
    for (const EncoderLayer& layer : model_->encoder.layers) {
        layer.attention.norm(positions, x, normed);
        layer.attention.projection(normed_rows, projected);
        attend(positions);
        layer.attention.output({positions, width, context, width}, x, false, x);

        const FeedForward& forward = layer.feed_forward;
        const int64_t inner_width = forward.inner.outputs();
        float* inner = inner_.reserve(positions * inner_width);
        forward.norm(positions, x, normed);
        forward.inner(normed_rows, inner, true);
        forward.outer({positions, inner_width, inner, inner_width}, x, false, x);
    }
    model_->encoder.norm(positions, x, normed);
}

// Queries, keys and values of all heads are read where the projection wrote them.
void Encoder::attend(int64_t positions) {
    const Heads& heads = model_->encoder.heads;
    const auto& attention = model_->kernels->attention;
    const int64_t total = heads.total(), ld = 3 * total;
    const int64_t packed_size = attention.packed_size(positions, heads.width);
    const int64_t size = packed_size + attention.workspace_size(positions);
    float* workspace = workspace_.reserve(omp_get_max_threads() * size);
    const float* projected = projected_.data();
    float* context = context_.data();
    parallel_for(heads.count, [&](int64_t head, int thread) {
        const float* queries = projected + head * heads.width;
        float* packed = workspace + thread * size;
        attention.pack(positions, heads.width, queries + total, queries + 2 * total, ld, packed);
        attention.attend(
            positions, positions, heads.width, heads.scale, queries, ld, packed, context + head * heads.width, total,
            packed + packed_size
        );
    });
}

std::unique_ptr<Encoding> Encoder::project(int64_t positions) const {
    const Heads& heads = model_->decoder.heads;
    const int64_t total = heads.total();
    auto encoding = std::make_unique<Encoding>();
    encoding->model = model_;
    encoding->positions = positions;
    Buffer<float> projected(positions * 2 * total);
    const auto pack_layer = [&](const auto& attention, auto& layers) {
        const int64_t size = attention.packed_size(positions, heads.width);
        layers.emplace_back(size * heads.count);
        auto* packed = layers.back().data();
        parallel_for(heads.count, [&](int64_t head, int) {
            const float* keys = projected.data() + head * heads.width;
            attention.pack(positions, heads.width, keys, keys + total, 2 * total, packed + head * size);
        });
    };
    for (const DecoderLayer& layer : model_->decoder.layers) {
        layer.cross_attention.keys_and_values(
            {positions, model_->width(), normed_.data(), model_->width()}, projected.data()
        );
        if (model_->has_half_encodings())
            pack_layer(model_->kernels->half_attention, encoding->half_layers);
        else
            pack_layer(model_->kernels->attention, encoding->layers);
    }
    return encoding;
}

}  // namespace halkspeech
