#include "encoder.h"

#include <algorithm>
#include <stdexcept>

#include "../model/encoder_rows.h"
#include "../model/refusals.h"
#include "flash.h"

namespace halkspeech::cuda {

namespace {

constexpr int64_t taps = 3;
// Windows of a call: enough to occupy any GPU, few enough for its memory.
constexpr size_t max_windows = 16;

}  // namespace

GpuEncoder::GpuEncoder(std::shared_ptr<const GpuModel> model)
    : model_(std::move(model))
    , stream_(std::make_shared<Stream>(model_->stream->device()))
    , products_(stream_)
    , tables_(stream_)
    , copied_(*stream_)
    , unfolded_(stream_)
    , convolved_(stream_)
    , x_(stream_)
    , normed_(stream_)
    , projected_(stream_)
    , context_(stream_)
    , inner_(stream_)
    , sums_(stream_)
    , workspace_(stream_) {}

// The work reads the host's tables.
GpuEncoder::~GpuEncoder() { stream_->drain(); }

std::vector<SharedEncoding> GpuEncoder::encode(const std::vector<Window>& windows) {
    stream_->enter();
    std::vector<SharedEncoding> all;
    for (size_t first = 0; first < windows.size(); first += max_windows) {
        const size_t count = std::min(max_windows, windows.size() - first);
        for (auto& encoding : encode_call(windows.data() + first, count)) all.push_back(std::move(encoding));
    }
    return all;
}

std::vector<SharedEncoding> GpuEncoder::encode_call(const Window* windows, size_t count) {
    const Plan plan = apply(windows, count);
    const int64_t width = model_->width();
    std::vector<SharedEncoding> encodings;
    const __half* input = normed_.data();
    for (const int64_t positions : plan.positions) {
        auto encoding = std::make_shared<GpuEncoding>(model_, stream_, positions);
        __half* to = encoding->keys_values.data();
        for (const GpuDecoderLayer& layer : model_->decoder_layers) {
            multiply(layer.keys_and_values, positions, input, to);
            to += positions * 2 * width;
        }
        encoding->ready.record(*stream_);
        encodings.push_back(std::move(encoding));
        input += positions * width;
    }
    return encodings;
}

std::vector<float> GpuEncoder::output(const Window& window) {
    const WorkScope scope(*stream_);
    const Plan plan = apply(&window, 1);
    std::vector<__half> halves(static_cast<size_t>(plan.count() * model_->width()));
    check(cudaMemcpyAsync(
        halves.data(), normed_.data(), halves.size() * sizeof(__half), cudaMemcpyDeviceToHost, stream_->get()
    ));
    stream_->synchronize();
    std::vector<float> floats;
    for (const __half half : halves) floats.push_back(__half2float(half));
    return floats;
}

GpuEncoder::Plan GpuEncoder::apply(const Window* windows, size_t count) {
    const Plan plan = this->plan(windows, count);
    convolve(windows, plan);
    apply_layers(plan);
    return plan;
}

GpuEncoder::Plan GpuEncoder::plan(const Window* windows, size_t count) const {
    Plan plan;
    int64_t features = 0;
    for (size_t i = 0; i < count; ++i) {
        const int64_t frames = windows[i].frames;
        check_frames(frames, model_->max_positions);
        // Even, so that every second row of all windows is the first of a window's own.
        const int64_t rows = (frames + taps) / 2 * 2;
        plan.windows.push_back({
            features, static_cast<int32_t>(frames), static_cast<int32_t>(plan.frame_rows), static_cast<int32_t>(rows),
        });
        const auto own = encoder_rows((frames - 1) / 2 + 1, model_->max_positions);
        for (const auto& [from, position] : own)
            plan.rows.push_back({static_cast<int32_t>(plan.frame_rows / 2 + from), static_cast<int32_t>(position)});
        // The rows of each window are those of a product, and of the layers.
        plan.positions.push_back(static_cast<int64_t>(own.size()));
        plan.frame_rows += rows;
        plan.max_frame_rows = std::max(plan.max_frame_rows, rows);
        features += frames * model_->mels;
    }
    return plan;
}

void GpuEncoder::convolve(const Window* windows, const Plan& plan) {
    const int64_t mels = model_->mels, width = model_->width(), rows = plan.frame_rows;
    copied_.synchronize();
    tables_.clear();
    std::vector<size_t> features;
    // Features of all windows, one behind the other: their sizes are multiples of the tables' alignment.
    for (size_t i = 0; i < plan.windows.size(); ++i)
        features.push_back(tables_.add(windows[i].features, static_cast<size_t>(windows[i].frames * mels)));
    const size_t window_rows = tables_.add(plan.windows), encoder_rows = tables_.add(plan.rows);
    tables_.send();
    copied_.record(*stream_);
    const WindowRows* at = tables_.at<WindowRows>(window_rows);
    const auto count = static_cast<int64_t>(plan.windows.size());

    __half* unfolded = unfolded_.reserve(rows * taps * mels);
    float* sums = sums_.reserve(rows * width);
    // A row more, which the last product below reads.
    __half* convolved = convolved_.reserve((rows + 1) * width);
    unfold_features(
        *stream_, tables_.at<float>(features.front()), at, count, plan.max_frame_rows, mels, unfolded
    );
    const Matrix& first = model_->convolution1;
    Product product = {rows, width, taps * mels, unfolded, taps * mels, first.weights, taps * mels};
    product.sums = sums;
    products_.multiply(product);
    finish_first_convolution(
        *stream_, sums, first.bias, at, count, plan.max_frame_rows, rows, width, convolved
    );

    // A row of the second convolution reads three rows from every second one on. cuBLAS refuses rows that overlap, so
    // two taps are one product, and the third is added.
    const Matrix& second = model_->convolution2;
    product = {rows / 2, width, 2 * width, convolved, 2 * width, second.weights, taps * width};
    product.sums = sums;
    products_.multiply(product);
    product = {rows / 2, width, width, convolved + 2 * width, 2 * width, second.weights + 2 * width, taps * width};
    product.sums = sums;
    product.adds = true;
    products_.multiply(product);
    __half* x = x_.reserve(plan.count() * width);
    finish_second_convolution(
        *stream_, sums, second.bias, tables_.at<EncoderRow>(encoder_rows), plan.count(), model_->encoder_positions,
        width, x
    );
}

void GpuEncoder::apply_layers(const Plan& plan) {
    const int64_t rows = plan.count(), width = model_->width(), heads = model_->encoder_heads.count;
    __half* x = x_.data();
    __half* normed = normed_.reserve(rows * width);
    __half* projected = projected_.reserve(rows * 3 * width);
    __half* context = context_.reserve(rows * width);
    const int64_t longest = *std::max_element(plan.positions.begin(), plan.positions.end());
    float* workspace = workspace_.reserve(heads * longest);
    for (const GpuEncoderLayer& layer : model_->encoder_layers) {
        norm(layer.norm, rows);
        multiply(layer.projection, rows, normed, projected);
        int64_t first = 0;
        for (const int64_t positions : plan.positions) {
            const WindowAttention attention = {
                positions, heads, model_->encoder_heads.scale, projected + first * 3 * width, context + first * width,
                workspace,
            };
            if (model_->has_sm90)
                start_flash_attention_sm90(*stream_, attention);
            else
                start_flash_attention(*stream_, attention);
            first += positions;
        }
        multiply(layer.output, rows, context, x, x);

        const GpuFeedForward& forward = layer.feed_forward;
        __half* inner = inner_.reserve(rows * forward.inner.outputs);
        norm(forward.norm, rows);
        multiply({forward.inner.outputs, width, forward.inner.weights, nullptr}, rows, normed, inner);
        add_bias_and_gelu(*stream_, {rows, forward.inner.outputs}, forward.inner.bias, inner);
        multiply(forward.outer, rows, inner, x, x);
    }
    norm(model_->encoder_norm, rows);
}

void GpuEncoder::norm(const Norm& norm, int64_t rows) {
    layer_norm(
        *stream_, {rows, model_->width()}, x_.data(), norm.gamma, norm.beta, norm.epsilon, normed_.data()
    );
}

void GpuEncoder::multiply(
    const Matrix& matrix, int64_t rows, const __half* input, __half* output, const __half* residual
) {
    Product product = {rows, matrix.outputs, matrix.inputs, input, matrix.inputs, matrix.weights, matrix.inputs};
    product.output = output;
    product.bias = matrix.bias;
    product.residual = residual;
    products_.multiply(product);
}

}  // namespace halkspeech::cuda
