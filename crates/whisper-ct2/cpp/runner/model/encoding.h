// A window's encoding, as the decoder's cross-attention reads it.

#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "buffer.h"
#include "model.h"

namespace halkspeech {

// Packed keys and values of all heads of each layer of the decoder, one head behind the other.
struct Encoding {
    std::shared_ptr<const Model> model;
    int64_t positions;
    // One of the two (`Model::has_half_encodings`).
    std::vector<Buffer<float>> layers;
    std::vector<Buffer<Half>> half_layers;

    int64_t bytes() const {
        int64_t bytes = 0;
        for (const auto& layer : layers) bytes += layer.bytes();
        for (const auto& layer : half_layers) bytes += layer.bytes();
        return bytes;
    }
};

}  // namespace halkspeech
