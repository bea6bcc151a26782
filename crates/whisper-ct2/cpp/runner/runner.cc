// The C interface: handles, and exceptions as codes.

#include "runner.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <stdexcept>
#include <vector>

#include "backend.h"
#ifdef HALKSPEECH_CUDA_RUNNER
#include "cuda/backend.h"
#endif

struct hs_model {
    std::unique_ptr<const halkspeech::DeviceModel> model;
};

struct hs_encoder {
    std::unique_ptr<halkspeech::WindowEncoder> encoder;
};

struct hs_decoder {
    std::unique_ptr<halkspeech::TokenDecoder> decoder;
};

struct hs_encoding {
    halkspeech::SharedEncoding encoding;
    std::atomic<size_t> count{1};
};

namespace {

constexpr size_t message_size = 512;
thread_local char message[message_size];

int fail(int status, const char* text) {
    std::strncpy(message, text, message_size - 1);
    return status;
}

template <typename Work>
int catch_exceptions(Work work) {
    try {
        work();
        return HS_OK;
    } catch (const halkspeech::DeviceOutOfMemory& error) {
        return fail(HS_OUT_OF_MEMORY, error.what());
    } catch (const std::bad_alloc&) {
        return fail(HS_OUT_OF_MEMORY, "out of memory");
    } catch (const std::length_error&) {
        return fail(HS_OUT_OF_MEMORY, "out of memory");
    } catch (const std::logic_error& error) {
        return fail(HS_INVALID, error.what());
    } catch (const std::exception& error) {
        return fail(HS_FAILED, error.what());
    } catch (...) {
        return fail(HS_FAILED, "unknown exception");
    }
}

int thread_count(uint32_t threads) { return static_cast<int>(std::clamp<uint32_t>(threads, 1, 1024)); }

std::vector<uint32_t> token_list(const uint32_t* tokens, size_t count) {
    return count == 0 ? std::vector<uint32_t>() : std::vector<uint32_t>(tokens, tokens + count);
}

std::unique_ptr<halkspeech::DeviceModel> load(
    const char* folder, const char* compute_type, uint32_t device, uint32_t index
) {
    if (device == HS_CPU) return halkspeech::load_cpu_model(folder, compute_type);
    if (device != HS_CUDA) throw std::invalid_argument("the device is unknown");
#ifdef HALKSPEECH_CUDA_RUNNER
    return halkspeech::cuda::load_model(folder, compute_type, index);
#else
    static_cast<void>(index);
    throw std::runtime_error("this build has no CUDA support");
#endif
}

}  // namespace

extern "C" {

const char* hs_error(void) { return message; }

uint32_t hs_cuda_devices(void) {
#ifdef HALKSPEECH_CUDA_RUNNER
    return halkspeech::cuda::device_count();
#else
    return 0;
#endif
}

int hs_cuda_memory(uint32_t index, hs_device_memory* memory) {
    return catch_exceptions([&] {
#ifdef HALKSPEECH_CUDA_RUNNER
        *memory = halkspeech::cuda::device_memory(index);
#else
        static_cast<void>(index);
        static_cast<void>(memory);
        throw std::runtime_error("this build has no CUDA support");
#endif
    });
}

int hs_model_load(
    const char* folder, const char* compute_type, uint32_t device, uint32_t index, hs_model** model
) {
    return catch_exceptions([&] { *model = new hs_model{load(folder, compute_type, device, index)}; });
}

int hs_model_describe(const hs_model* model, hs_model_info* info) {
    return catch_exceptions([&] {
        *info = {};
        model->model->describe(*info);
    });
}

void hs_model_free(hs_model* model) { delete model; }

int hs_encoder_new(const hs_model* model, uint32_t threads, hs_encoder** encoder) {
    return catch_exceptions([&] {
        *encoder = new hs_encoder{model->model->encoder(thread_count(threads))};
    });
}

void hs_encoder_set_threads(hs_encoder* encoder, uint32_t threads) {
    encoder->encoder->set_threads(thread_count(threads));
}

void hs_encoder_free(hs_encoder* encoder) { delete encoder; }

int hs_encode(hs_encoder* encoder, const hs_window* windows, size_t count, hs_encoding** encodings) {
    return catch_exceptions([&] {
        std::vector<halkspeech::Window> all;
        for (size_t i = 0; i < count; ++i) all.push_back({windows[i].features, windows[i].frames});
        std::vector<std::unique_ptr<hs_encoding>> made;
        for (auto& encoding : encoder->encoder->encode(all)) {
            made.push_back(std::make_unique<hs_encoding>());
            made.back()->encoding = std::move(encoding);
        }
        for (size_t i = 0; i < count; ++i) encodings[i] = made[i].release();
    });
}

void hs_encoding_retain(hs_encoding* encoding) { encoding->count.fetch_add(1, std::memory_order_relaxed); }

void hs_encoding_release(hs_encoding* encoding) {
    if (encoding != nullptr && encoding->count.fetch_sub(1, std::memory_order_acq_rel) == 1) delete encoding;
}

uint32_t hs_encoding_positions(const hs_encoding* encoding) {
    return static_cast<uint32_t>(encoding->encoding->positions());
}

uint64_t hs_encoding_bytes(const hs_encoding* encoding) { return static_cast<uint64_t>(encoding->encoding->bytes()); }

int hs_decoder_new(const hs_model* model, uint32_t threads, hs_decoder** decoder) {
    return catch_exceptions([&] {
        *decoder = new hs_decoder{model->model->decoder(thread_count(threads))};
    });
}

void hs_decoder_set_threads(hs_decoder* decoder, uint32_t threads) {
    decoder->decoder->set_threads(thread_count(threads));
}

void hs_decoder_free(hs_decoder* decoder) { delete decoder; }

int hs_register_banned(hs_decoder* decoder, const uint32_t* tokens, size_t count, uint32_t* set) {
    return catch_exceptions([&] { *set = decoder->decoder->register_banned(token_list(tokens, count)); });
}

int hs_detect_language(
    hs_decoder* decoder, const hs_encoding* const* encodings, size_t count, float* probabilities
) {
    return catch_exceptions([&] {
        std::vector<halkspeech::SharedEncoding> all;
        for (size_t i = 0; i < count; ++i) all.push_back(encodings[i]->encoding);
        decoder->decoder->detect_language(all, probabilities);
    });
}

int hs_open(
    hs_decoder* decoder, hs_encoding* encoding, const uint32_t* prompt, size_t count, uint64_t* slot,
    float* no_speech_prob
) {
    return catch_exceptions([&] {
        *slot = decoder->decoder->open(encoding->encoding, token_list(prompt, count), no_speech_prob);
    });
}

void hs_close(hs_decoder* decoder, uint64_t slot) { decoder->decoder->close(slot); }

int hs_step(
    hs_decoder* decoder, const hs_row* rows, size_t count, size_t stride, uint32_t* counts, uint32_t* tokens,
    float* log_probs
) {
    return catch_exceptions([&] { decoder->decoder->step({rows, count}, {stride, counts, tokens, log_probs}); });
}

int hs_align(
    hs_decoder* decoder, const hs_encoding* encoding, const uint32_t* start, size_t start_count, const uint32_t* tokens,
    size_t count, uint32_t frames, uint32_t median_filter_width, float* probabilities, hs_alignment_step* path,
    size_t* path_length
) {
    return catch_exceptions([&] {
        const halkspeech::Alignment alignment = decoder->decoder->align(
            encoding->encoding, {token_list(start, start_count), token_list(tokens, count), frames, median_filter_width}
        );
        std::copy(alignment.probabilities.begin(), alignment.probabilities.end(), probabilities);
        *path_length = alignment.path.size();
        for (const auto& [token, position] : alignment.path)
            *path++ = {static_cast<uint32_t>(token), static_cast<uint32_t>(position)};
    });
}

void hs_decoder_usage_of(const hs_decoder* decoder, hs_decoder_usage* usage) { *usage = decoder->decoder->usage(); }

}  // extern "C"
