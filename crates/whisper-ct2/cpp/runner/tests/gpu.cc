// The runner on a GPU beside the runner on a CPU in 32-bit floats, on real speech: the encoder's output, languages,
// probability of no speech, texts of several slots in one step, alignment. And failures, and memory. Compiled for a
// GPU, or with the folder host_cuda for a processor (build.sh).
// usage: gpu MODEL LANGUAGE_TOKEN|- FEATURES [FRAMES]     (features as dump_features.py writes them)

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "cuda/encoder.h"
#include "model/encoder.h"
#include "tests/features.h"
#include "tests/search.h"

using test::check;
using test::expect;
using test::Features;
using test::Options;
using test::Search;
using test::Tokens;

namespace {

// A model with an encoder and a decoder on one device.
struct Device {
    hs_model* model = nullptr;
    hs_model_info info;
    hs_encoder* encoder = nullptr;
    hs_decoder* decoder = nullptr;

    Device(const char* folder, const char* compute_type, uint32_t device) {
        check(hs_model_load(folder, compute_type, device, 0, &model));
        check(hs_model_describe(model, &info));
        check(hs_encoder_new(model, 2, &encoder));
        check(hs_decoder_new(model, 2, &decoder));
    }
    ~Device() {
        hs_decoder_free(decoder);
        hs_encoder_free(encoder);
        hs_model_free(model);
    }

    std::vector<hs_encoding*> encode(const std::vector<Features>& windows) const {
        std::vector<hs_window> all;
        for (const auto& window : windows) all.push_back(window.window());
        std::vector<hs_encoding*> encodings(all.size());
        check(hs_encode(encoder, all.data(), all.size(), encodings.data()));
        return encodings;
    }
};

void release(const std::vector<hs_encoding*>& encodings) {
    for (hs_encoding* encoding : encodings) hs_encoding_release(encoding);
}

void test_encoder(const char* folder, const Features& features) {
    const auto on_host = halkspeech::load_model(folder, "float32");
    halkspeech::Encoder on_cpu(on_host);
    const auto stream = std::make_shared<halkspeech::cuda::Stream>(0);
    halkspeech::cuda::GpuEncoder on_gpu(std::make_shared<halkspeech::cuda::GpuModel>(*on_host, stream));
    for (const int32_t frames : {1, 2, 3, 40, 201, 300}) {
        const Features window = features.first(frames);
        const halkspeech::Window view = {window.values.data(), frames};
        int64_t positions = 0;
        const float* expected = on_cpu.output(view, &positions);
        const std::vector<float> found = on_gpu.output(view);
        const size_t count = static_cast<size_t>(positions * on_host->width());
        expect(found.size() == count, "rows of the encoder");
        double squares = 0, of_output = 0;
        for (size_t i = 0; i < std::min(count, found.size()); ++i) {
            squares += std::pow(static_cast<double>(found[i]) - expected[i], 2);
            of_output += std::pow(static_cast<double>(expected[i]), 2);
        }
        const double difference = std::sqrt(squares / of_output);
        std::printf("encoder, %d frames: relative difference %g\n", frames, difference);
        expect(difference < 0.02, "the encoder's output");
    }
}

// The options of the texts: beams, draws, time stamps, penalties, text before.
struct Case {
    size_t window, previous;
    Options options;
};

std::vector<Case> cases() {
    std::vector<Case> all;
    for (size_t i = 0; i < 5; ++i) {
        Case one = {i % 2, i == 2 ? size_t{12} : 0, {}};
        one.options.beam_size = std::vector<size_t>{1, 5, 2, 1, 3}[i];
        one.options.timestamps = i % 2 == 1;
        one.options.max_length = 40 + 4 * i;
        one.options.repetition_penalty = i == 4 ? 1.2f : 1.0f;
        if (i == 3) {
            one.options.temperature = 0.6f;
            one.options.seed = 7;
        }
        all.push_back(one);
    }
    return all;
}

std::unique_ptr<Search> search(
    const Device& device, const std::vector<hs_encoding*>& encodings, const Case& one, const char* language
) {
    const hs_model_info& info = device.info;
    Tokens prompt;
    if (one.previous > 0) {
        prompt.push_back(info.no_speech - 1);  // <|startofprev|>
        for (size_t i = 0; i < one.previous; ++i) prompt.push_back(static_cast<uint32_t>(1000 + 37 * i));
    }
    prompt.push_back(info.start_of_transcript);
    if (info.languages > 0) {
        prompt.push_back(static_cast<uint32_t>(std::atoi(language)));
        prompt.push_back(info.start_of_transcript + info.languages + 2);  // <|transcribe|>
    }
    if (!one.options.timestamps) prompt.push_back(info.no_timestamps);
    return std::make_unique<Search>(device.decoder, info, encodings[one.window], prompt, one.options);
}

std::string as_text(const Tokens& tokens) {
    std::string text;
    for (const uint32_t token : tokens) text += std::to_string(token) + " ";
    return text;
}

void test_texts(const Device& cpu, const Device& gpu, const std::vector<Features>& windows, const char* language) {
    const auto on_cpu = cpu.encode(windows), on_gpu = gpu.encode(windows);
    for (size_t i = 0; i < windows.size(); ++i)
        expect(hs_encoding_positions(on_cpu[i]) == hs_encoding_positions(on_gpu[i]), "positions");
    if (cpu.info.languages > 0) {
        const size_t count = cpu.info.languages;
        std::vector<float> expected(2 * count), found(2 * count);
        check(hs_detect_language(cpu.decoder, on_cpu.data(), 2, expected.data()));
        check(hs_detect_language(gpu.decoder, on_gpu.data(), 2, found.data()));
        float difference = 0;
        for (size_t i = 0; i < expected.size(); ++i)
            difference = std::max(difference, std::abs(expected[i] - found[i]));
        std::printf("languages: largest difference %g\n", difference);
        expect(difference < 0.02f, "languages");
    }
    std::vector<std::unique_ptr<Search>> alone, together, of_cpu;
    std::vector<Search*> order;
    for (const Case& one : cases()) {
        of_cpu.push_back(search(cpu, on_cpu, one, language));
        test::run(cpu.decoder, {of_cpu.back().get()});
        alone.push_back(search(gpu, on_gpu, one, language));
        test::run(gpu.decoder, {alone.back().get()});
        together.push_back(search(gpu, on_gpu, one, language));
        order.push_back(together.back().get());
    }
    test::run(gpu.decoder, order, 1);
    size_t equal = 0, different_in_company = 0;
    for (size_t i = 0; i < alone.size(); ++i) {
        float expected_score = 0, score = 0;
        const Tokens expected = of_cpu[i]->best(&expected_score), found = alone[i]->best(&score);
        equal += expected == found;
        if (expected != found)
            std::printf(
                "text %zu differs\n  CPU %s(%f)\n  GPU %s(%f)\n", i, as_text(expected).c_str(), expected_score,
                as_text(found).c_str(), score
            );
        expect(expected != found || std::abs(expected_score - score) < 0.02f, "score of text " + std::to_string(i));
        expect(
            std::abs(of_cpu[i]->no_speech_prob - alone[i]->no_speech_prob) < 0.02f,
            "no speech of text " + std::to_string(i)
        );
        const bool is_same = together[i]->best() == found;
        if (!is_same) std::printf("text %zu differs in company\n", i);
        different_in_company += !is_same;
#ifdef HALKSPEECH_HOST_CUDA
        expect(is_same && together[i]->trace == alone[i]->trace, "text " + std::to_string(i) + " in company");
#endif
    }
    std::printf("%zu of %zu texts are those of the CPU\n", equal, alone.size());
    expect(equal + 1 >= alone.size(), "texts");
    // cuBLASLt selects algorithms by the number of rows, so sums of a step in company are rounded in another order.
    expect(different_in_company <= 1, "texts in company");

    const Tokens text = of_cpu[0]->best();
    Tokens start = {cpu.info.start_of_transcript};
    if (cpu.info.languages > 0) {
        start.push_back(static_cast<uint32_t>(std::atoi(language)));
        start.push_back(cpu.info.start_of_transcript + cpu.info.languages + 2);
    }
    const auto frames = static_cast<uint32_t>(windows[0].frames);
    std::vector<float> probabilities[2];
    std::vector<int64_t> times[2];
    for (const int on : {0, 1}) {
        probabilities[on].resize(text.size());
        std::vector<hs_alignment_step> path(text.size() + 1 + frames / 2);
        size_t length = 0;
        check(hs_align(
            (on == 0 ? cpu : gpu).decoder, (on == 0 ? on_cpu : on_gpu)[0], start.data(), start.size(), text.data(),
            text.size(), frames, 7, probabilities[on].data(), path.data(), &length
        ));
        times[on].assign(text.size() + 1, -1);
        for (size_t i = 0; i < length; ++i) {
            if (times[on][path[i].token] < 0) times[on][path[i].token] = path[i].position;
        }
    }
    float difference = 0;
    int64_t max_positions = 0;
    for (size_t i = 0; i < text.size(); ++i) {
        difference = std::max(difference, std::abs(probabilities[0][i] - probabilities[1][i]));
        max_positions = std::max(max_positions, std::abs(times[0][i] - times[1][i]));
    }
    std::printf(
        "aligned %zu tokens: largest difference %g of probabilities, %ld positions of times\n", text.size(), difference,
        max_positions
    );
    expect(difference < 0.02f, "probabilities of tokens");
    expect(max_positions <= 2, "times of tokens");
    release(on_cpu);
    release(on_gpu);
}

void test_failures(const Device& gpu, const Device& cpu, const std::vector<Features>& windows) {
    const auto encodings = gpu.encode(windows), of_cpu = cpu.encode({windows[0].first(40)});
    const uint32_t prompt[] = {gpu.info.start_of_transcript, gpu.info.no_timestamps};
    uint64_t slot = 0;
    expect(hs_open(gpu.decoder, of_cpu[0], prompt, 2, &slot, nullptr) == HS_INVALID, "an encoding of the CPU");
    check(hs_open(gpu.decoder, encodings[0], prompt, 2, &slot, nullptr));
    uint32_t counts[1], tokens[4];
    float log_probs[4];
    hs_row good = {slot, 0, prompt[1], {}};
    good.rule.repetition_penalty = 1;
    good.rule.banned_set = HS_NO_SET;
    good.rule.k = 4;
    const auto step = [&](const hs_row& row, size_t stride = 4) {
        return hs_step(gpu.decoder, &row, 1, stride, counts, tokens, log_probs);
    };
    const auto refuses = [&](const char* what, auto change) {
        hs_row row = good;
        change(row);
        expect(step(row) == HS_INVALID, what);
    };
    refuses("slot", [](hs_row& row) { row.slot += 7; });
    refuses("parent", [](hs_row& row) { row.parent = 1; });
    refuses("token", [&](hs_row& row) { row.token = gpu.info.vocabulary; });
    refuses("too many candidates", [](hs_row& row) { row.rule.k = 5; });
    refuses("set", [](hs_row& row) { row.rule.banned_set = 3; });
    const hs_range all_but_two = {2, gpu.info.vocabulary};
    good.rule.banned_ranges = &all_but_two;
    good.rule.banned_range_count = 1;
    check(step(good));
    expect(counts[0] == 2 && tokens[0] < 2 && tokens[1] < 2, "banned tokens are no candidates");
    const uint32_t one_of_two[] = {1};
    uint32_t set = HS_NO_SET;
    check(hs_register_banned(gpu.decoder, one_of_two, 1, &set));
    good.rule.banned_set = set;
    check(step(good));
    expect(counts[0] == 1 && tokens[0] == 0, "a set of banned tokens");
#ifdef HALKSPEECH_HOST_CUDA
    // A set for which there is no memory: the earlier ones stay.
    host_cuda::fail_allocations_after(0);
    uint32_t no_set = HS_NO_SET;
    expect(hs_register_banned(gpu.decoder, prompt, 2, &no_set) == HS_OUT_OF_MEMORY, "no memory for a set");
    host_cuda::fail_allocations_after(-1);
    check(step(good));
    expect(counts[0] == 1 && tokens[0] == 0, "the sets before one that failed");
    check(hs_register_banned(gpu.decoder, prompt, 2, &no_set));
    expect(no_set == set + 1, "a set that failed has no number");

    // Every allocation of an encoding and of a new decoder may fail; nothing is lost by that.
    const int64_t before = host_cuda::allocated_bytes();
    int refused = 0;
    for (int64_t count = 0; count < 60; ++count) {
        host_cuda::fail_allocations_after(count);
        hs_encoding* encoding = nullptr;
        hs_decoder* decoder = nullptr;
        uint64_t other = 0;
        int status = hs_decoder_new(gpu.model, 1, &decoder);
        const hs_window window = windows[1].window();
        if (status == HS_OK) status = hs_encode(gpu.encoder, &window, 1, &encoding);
        if (status == HS_OK) status = hs_open(decoder, encoding, prompt, 2, &other, nullptr);
        host_cuda::fail_allocations_after(-1);
        refused += status == HS_OUT_OF_MEMORY;
        expect(status == HS_OK || status == HS_OUT_OF_MEMORY, "out of memory is a code");
        if (decoder != nullptr) hs_decoder_free(decoder);
        hs_encoding_release(encoding);
    }
    std::printf("%d failed allocations\n", refused);
    expect(refused > 5, "allocations fail");
    expect(host_cuda::allocated_bytes() <= before, "failed calls keep nothing");
#endif
    hs_close(gpu.decoder, slot);
    expect(step(good) == HS_INVALID, "a closed slot");
    hs_close(gpu.decoder, slot);
    const hs_window none = {windows[0].values.data(), 0}, long_one = {windows[0].values.data(), 3001};
    hs_encoding* encoding = nullptr;
    expect(hs_encode(gpu.encoder, &none, 1, &encoding) == HS_INVALID, "no frames");
    expect(hs_encode(gpu.encoder, &long_one, 1, &encoding) == HS_INVALID, "too many frames");
    hs_decoder_usage usage;
    hs_decoder_usage_of(gpu.decoder, &usage);
    expect(usage.slots == 0 && usage.bytes == 0, "closed slots keep nothing");
    release(encodings);
    release(of_cpu);
}

}  // namespace

int main(int argc, char** argv) {
    const char* folder = argv[1];
    const Features all(argv[3]);
    const int32_t frames = argc > 4 ? std::atoi(argv[4]) : 500;
    expect(hs_cuda_devices() > 0, "there is a GPU");
    hs_model* refused = nullptr;
    for (const char* compute_type : {"float32", "int8_float16"})
        expect(
            hs_model_load(folder, compute_type, HS_CUDA, 0, &refused) == HS_FAILED, "a number format that is refused"
        );
    expect(hs_model_load(folder, "float16", HS_CUDA, 99, &refused) == HS_FAILED, "a GPU that does not exist");
    test_encoder(folder, all);
    {
        const Device cpu(folder, "float32", HS_CPU), gpu(folder, "float16", HS_CUDA);
        std::printf(
            "%s %s %s, %.1f MB\n", folder, gpu.info.compute_type, gpu.info.kernels,
            static_cast<double>(gpu.info.weight_bytes) / 1e6
        );
        const std::vector<Features> windows = {all.first(frames), all.first(frames / 2 + 1)};
        test_failures(gpu, cpu, windows);
        test_texts(cpu, gpu, windows, argv[2]);
    }
#ifdef HALKSPEECH_HOST_CUDA
    expect(host_cuda::allocated_bytes() == 0, "all memory is freed");
#endif
    std::printf("%d failures\n", test::failures);
    return test::failures == 0 ? 0 : 1;
}
