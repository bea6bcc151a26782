// What a device provides behind the C interface (runner.h, which documents the functions).

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "device_error.h"
#include "model/alignment.h"
#include "model/encoder.h"
#include "model/step.h"
#include "runner.h"

namespace halkspeech {

// The encoder's output for a window, on its device. Any thread may use it or free it.
class WindowEncoding {
public:
    virtual ~WindowEncoding() = default;
    virtual int64_t positions() const = 0;
    virtual int64_t bytes() const = 0;
};
using SharedEncoding = std::shared_ptr<const WindowEncoding>;

class WindowEncoder {
public:
    virtual ~WindowEncoder() = default;
    virtual void set_threads(int) {}
    virtual std::vector<SharedEncoding> encode(const std::vector<Window>& windows) = 0;
};

// Its functions throw `std::invalid_argument` for an encoding of another model.
class TokenDecoder {
public:
    virtual ~TokenDecoder() = default;
    virtual void set_threads(int) {}
    virtual uint32_t register_banned(std::vector<uint32_t> tokens) = 0;
    virtual void detect_language(const std::vector<SharedEncoding>& encodings, float* probabilities) = 0;
    virtual uint64_t open(
        const SharedEncoding& encoding, const std::vector<uint32_t>& prompt, float* no_speech_prob
    ) = 0;
    virtual void close(uint64_t slot) noexcept = 0;
    virtual void step(const StepRows& step, const StepCandidates& to) = 0;
    virtual Alignment align(const SharedEncoding& encoding, const AlignmentText& text) = 0;
    virtual hs_decoder_usage usage() const = 0;
};

// A loaded model; encoders and decoders keep what they need of it.
class DeviceModel {
public:
    virtual ~DeviceModel() = default;
    // Pointers are valid as long as the model.
    virtual void describe(hs_model_info& info) const = 0;
    virtual std::unique_ptr<WindowEncoder> encoder(int threads) const = 0;
    virtual std::unique_ptr<TokenDecoder> decoder(int threads) const = 0;
};

std::unique_ptr<DeviceModel> load_cpu_model(const std::string& folder, const std::string& compute_type);

// What a description says of any device.
void describe_model(const Model& model, hs_model_info& info);
void describe_tokens(const Tokens& tokens, hs_model_info& info);

}  // namespace halkspeech
