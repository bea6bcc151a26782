// The CPU behind the C interface.

#include <stdexcept>

#include "backend.h"
#include "model/decoder.h"
#include "model/threads.h"

namespace halkspeech {

namespace {

struct CpuEncoding final : WindowEncoding {
    explicit CpuEncoding(std::shared_ptr<const Encoding> encoding) : encoding(std::move(encoding)) {}

    int64_t positions() const override { return encoding->positions; }
    int64_t bytes() const override { return encoding->bytes(); }

    std::shared_ptr<const Encoding> encoding;
};

const std::shared_ptr<const Encoding>& encoding_of(const SharedEncoding& encoding) {
    const auto* of_cpu = dynamic_cast<const CpuEncoding*>(encoding.get());
    if (of_cpu == nullptr) throw std::invalid_argument("the encoding is another device's");
    return of_cpu->encoding;
}

class CpuEncoder final : public WindowEncoder {
public:
    CpuEncoder(std::shared_ptr<const Model> model, int threads) : encoder_(std::move(model)), threads_(threads) {}

    void set_threads(int threads) override { threads_ = threads; }

    std::vector<SharedEncoding> encode(const std::vector<Window>& windows) override {
        const ThreadCountScope threads(threads_);
        std::vector<SharedEncoding> made;
        for (const Window& window : windows) made.push_back(std::make_shared<CpuEncoding>(encoder_.encode(window)));
        return made;
    }

private:
    Encoder encoder_;
    int threads_;
};

class CpuDecoder final : public TokenDecoder {
public:
    CpuDecoder(std::shared_ptr<const Model> model, int threads) : decoder_(std::move(model)), threads_(threads) {}

    void set_threads(int threads) override { threads_ = threads; }

    uint32_t register_banned(std::vector<uint32_t> tokens) override {
        return decoder_.banned_sets().add(std::move(tokens));
    }

    void detect_language(const std::vector<SharedEncoding>& encodings, float* probabilities) override {
        const ThreadCountScope threads(threads_);
        std::vector<std::shared_ptr<const Encoding>> all;
        for (const SharedEncoding& encoding : encodings) all.push_back(encoding_of(encoding));
        decoder_.detect_language(all, probabilities);
    }

    uint64_t open(
        const SharedEncoding& encoding, const std::vector<uint32_t>& prompt, float* no_speech_prob
    ) override {
        const ThreadCountScope threads(threads_);
        return decoder_.open(encoding_of(encoding), prompt, no_speech_prob);
    }

    void close(uint64_t slot) noexcept override { decoder_.close(slot); }

    void step(const StepRows& step, const StepCandidates& to) override {
        const ThreadCountScope threads(threads_);
        decoder_.step(step, to);
    }

    Alignment align(const SharedEncoding& encoding, const AlignmentText& text) override {
        const ThreadCountScope threads(threads_);
        return halkspeech::align(decoder_, encoding_of(encoding), text);
    }

    hs_decoder_usage usage() const override { return decoder_.usage(); }

private:
    Decoder decoder_;
    int threads_;
};

class CpuModel final : public DeviceModel {
public:
    explicit CpuModel(std::shared_ptr<const Model> model) : model_(std::move(model)) {}

    void describe(hs_model_info& info) const override {
        describe_model(*model_, info);
        info.weight_bytes = static_cast<uint64_t>(model_->bytes());
        info.compute_type = model_->compute_type.c_str();
        info.kernels = model_->kernels->name;
    }

    std::unique_ptr<WindowEncoder> encoder(int threads) const override {
        return std::make_unique<CpuEncoder>(model_, threads);
    }
    std::unique_ptr<TokenDecoder> decoder(int threads) const override {
        return std::make_unique<CpuDecoder>(model_, threads);
    }

private:
    std::shared_ptr<const Model> model_;
};

uint32_t count_of(size_t size) { return static_cast<uint32_t>(size); }

}  // namespace

std::unique_ptr<DeviceModel> load_cpu_model(const std::string& folder, const std::string& compute_type) {
    return std::make_unique<CpuModel>(load_model(folder, compute_type));
}

void describe_model(const Model& model, hs_model_info& info) {
    info.mels = static_cast<uint32_t>(model.mels());
    info.max_frames = static_cast<uint32_t>(2 * model.max_positions());
    info.max_tokens = static_cast<uint32_t>(model.max_tokens());
    info.vocabulary = static_cast<uint32_t>(model.vocabulary());
    info.width = static_cast<uint32_t>(model.width());
    info.heads = static_cast<uint32_t>(model.decoder.heads.count);
    info.encoder_layers = count_of(model.encoder.layers.size());
    info.decoder_layers = count_of(model.decoder.layers.size());
    describe_tokens(model.tokens, info);
}

void describe_tokens(const Tokens& tokens, hs_model_info& info) {
    info.start_of_transcript = tokens.start_of_transcript;
    info.end_of_text = tokens.end_of_text;
    info.no_timestamps = tokens.no_timestamps;
    info.no_speech = tokens.no_speech;
    info.languages = count_of(tokens.languages.size());
    info.language_tokens = tokens.languages.data();
    info.suppressed = count_of(tokens.suppressed.size());
    info.suppressed_at_begin = count_of(tokens.suppressed_at_begin.size());
    info.suppressed_tokens = tokens.suppressed.data();
    info.suppressed_at_begin_tokens = tokens.suppressed_at_begin.data();
}

}  // namespace halkspeech
