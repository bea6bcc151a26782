// Whisper's encoder on a GPU.

#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "../backend.h"
#include "kernels.h"
#include "memory.h"
#include "products.h"
#include "weights.h"

namespace halkspeech::cuda {

// Keys and values of the decoder's cross-attention, [layers, positions, 2 * width].
struct GpuEncoding final : WindowEncoding {
    GpuEncoding(std::shared_ptr<const GpuModel> of, const SharedStream& stream, int64_t positions)
        : model(std::move(of))
        , position_count(positions)
        , keys_values(stream, static_cast<int64_t>(model->decoder_layers.size()) * positions * 2 * model->width())
        , ready(*stream) {}

    int64_t positions() const override { return position_count; }
    int64_t bytes() const override { return keys_values.bytes(); }

    std::shared_ptr<const GpuModel> model;
    int64_t position_count;
    DeviceBuffer<__half> keys_values;
    // When it is written; the encoder does not wait for that.
    Event ready;
};

class GpuEncoder final : public WindowEncoder {
public:
    explicit GpuEncoder(std::shared_ptr<const GpuModel> model);
    ~GpuEncoder() override;

    // Returns when the work is started: the thread that uses an encoding waits for it.
    std::vector<SharedEncoding> encode(const std::vector<Window>& windows) override;

    // The encoder's output for a window in 32-bit floats, [positions, width]; for tests.
    std::vector<float> output(const Window& window);

private:
    // The rows of the windows of a call.
    struct Plan {
        std::vector<WindowRows> windows;
        std::vector<EncoderRow> rows;
        std::vector<int64_t> positions;  // of each window
        int64_t frame_rows = 0, max_frame_rows = 0;
        int64_t count() const { return static_cast<int64_t>(rows.size()); }
    };

    std::vector<SharedEncoding> encode_call(const Window* windows, size_t count);
    // Leaves the encoder's output in `normed_`.
    Plan apply(const Window* windows, size_t count);
    Plan plan(const Window* windows, size_t count) const;
    void convolve(const Window* windows, const Plan& plan);
    void apply_layers(const Plan& plan);
    void norm(const Norm& norm, int64_t rows);
    void multiply(
        const Matrix& matrix, int64_t rows, const __half* input, __half* output, const __half* residual = nullptr
    );

    std::shared_ptr<const GpuModel> model_;
    SharedStream stream_;
    Products products_;
    Tables tables_;
    // When the tables of the last call were copied.
    Event copied_;
    DeviceBuffer<__half> unfolded_, convolved_, x_, normed_, projected_, context_, inner_;
    DeviceBuffer<float> sums_, workspace_;
};

}  // namespace halkspeech::cuda
