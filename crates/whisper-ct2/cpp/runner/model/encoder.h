// Whisper's encoder, one window at a time.

#pragma once

#include <cstdint>
#include <memory>

#include "buffer.h"
#include "encoding.h"
#include "model.h"

namespace halkspeech {

// Features of a window, [mels, frames].
struct Window {
    const float* features;
    int64_t frames;
};

class Encoder {
public:
    explicit Encoder(std::shared_ptr<const Model> model) : model_(std::move(model)) {}

    // On the calling thread's OpenMP threads. The last frames of a window that is shorter than the model's are silence.
    std::unique_ptr<Encoding> encode(const Window& window);

    // The encoder's output for a window, [positions, width]; for tests.
    const float* output(const Window& window, int64_t* positions);

private:
    // Fills `x_` with the input of the layers; returns the number of positions.
    int64_t convolve(const Window& window);
    void apply_layers(int64_t positions);
    void attend(int64_t positions);
    std::unique_ptr<Encoding> project(int64_t positions) const;

    std::shared_ptr<const Model> model_;
    Buffer<float> input_, convolved_, x_, normed_, projected_, context_, inner_, workspace_;
};

}  // namespace halkspeech
