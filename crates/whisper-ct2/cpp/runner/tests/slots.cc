// Texts of several slots, with different options, in one step: each is bit for bit what it is alone, on any number of
// threads. And what happens to failures and to memory.
// usage: slots MODEL COMPUTE_TYPE FEATURES FEATURES [KERNELS]

#include <malloc.h>
#include <sys/resource.h>

#include <cstring>
#include <memory>

#include "kernels/kernels.h"
#include "model/noise.h"
#include "tests/features.h"
#include "tests/search.h"

using test::check;
using test::expect;
using test::Features;
using test::Options;
using test::Search;
using test::Tokens;

namespace {

// A text: which encoding, what prompt, which options.
struct Case {
    size_t encoding;
    size_t previous;  // tokens of text before
    Options options;
};

std::vector<Case> cases() {
    std::vector<Case> all;
    for (size_t i = 0; i < 8; ++i) {
        Case one = {i % 3, i % 3 == 0 ? 0 : 3 + 5 * i, {}};
        one.options.beam_size = i % 4 == 3 ? 1 : i % 4 + 1;
        one.options.timestamps = i % 2 == 1;
        one.options.max_length = 60 + 4 * i;
        one.options.repetition_penalty = i == 5 ? 1.2f : 1.0f;
        if (i == 3 || i == 7) {
            one.options.temperature = 0.2f * static_cast<float>(i);
            one.options.seed = i;
        }
        all.push_back(one);
    }
    return all;
}

struct Runner {
    hs_model_info info;
    hs_encoder* encoder = nullptr;
    hs_decoder* decoder = nullptr;
    std::vector<hs_encoding*> encodings;

    Runner(hs_model* model, uint32_t threads, const std::vector<Features>& windows) {
        check(hs_model_describe(model, &info));
        check(hs_encoder_new(model, threads, &encoder));
        check(hs_decoder_new(model, threads, &decoder));
        std::vector<hs_window> all;
        for (const auto& window : windows) all.push_back(window.window());
        encodings.resize(all.size());
        check(hs_encode(encoder, all.data(), all.size(), encodings.data()));
    }
    ~Runner() {
        for (hs_encoding* encoding : encodings) hs_encoding_release(encoding);
        hs_decoder_free(decoder);
        hs_encoder_free(encoder);
    }

    std::unique_ptr<Search> search(const Case& one) const {
        Tokens prompt;
        if (one.previous > 0) {
            prompt.push_back(info.no_speech - 1);  // <|startofprev|>
            for (size_t i = 0; i < one.previous; ++i) prompt.push_back(static_cast<uint32_t>(1000 + 37 * i));
        }
        prompt.push_back(info.start_of_transcript);
        if (info.languages > 0) {
            prompt.push_back(info.start_of_transcript + 1);
            prompt.push_back(info.start_of_transcript + info.languages + 2);
        }
        if (!one.options.timestamps) prompt.push_back(info.no_timestamps);
        return std::make_unique<Search>(decoder, info, encodings[one.encoding], prompt, one.options);
    }
};

bool are_same(const Search& a, const Search& b) {
    const size_t bytes = a.trace.size() * sizeof a.trace[0];
    return a.trace.size() == b.trace.size() && std::memcmp(a.trace.data(), b.trace.data(), bytes) == 0
        && a.no_speech_prob == b.no_speech_prob;
}

void test_company(hs_model* model, const std::vector<Features>& windows) {
    const Runner runner(model, 1, windows), other(model, 2, windows);
    std::vector<std::unique_ptr<Search>> alone;
    for (const Case& one : cases()) {
        alone.push_back(runner.search(one));
        test::run(runner.decoder, {alone.back().get()});
    }
    for (const Runner* of : {&runner, &other}) {
        for (const size_t delay : {0, 2}) {
            for (const bool reversed : {false, true}) {
                std::vector<std::unique_ptr<Search>> together;
                for (const Case& one : cases()) together.push_back(of->search(one));
                std::vector<Search*> order;
                for (const auto& search : together) order.push_back(search.get());
                if (reversed) std::reverse(order.begin(), order.end());
                const size_t steps = test::run(of->decoder, order, delay);
                for (size_t i = 0; i < together.size(); ++i)
                    expect(
                        are_same(*alone[i], *together[i]),
                        "text " + std::to_string(i) + " in company, delay " + std::to_string(delay)
                    );
                std::printf("%zu texts in %zu steps\n", together.size(), steps);
            }
        }
    }
    hs_decoder_usage usage;
    hs_decoder_usage_of(other.decoder, &usage);
    expect(usage.slots == 0 && usage.bytes == 0, "closed slots keep nothing");
}

// Cells of hypotheses that have died are used again.
void test_cells(hs_model* model, const std::vector<Features>& windows) {
    const Runner runner(model, 1, windows);
    Case one = {0, 0, {}};
    one.options.beam_size = 5;
    one.options.max_length = 200;
    one.options.never_end = true;
    const auto search = runner.search(one);
    test::run(runner.decoder, {search.get()});
    hs_decoder_usage usage;
    hs_decoder_usage_of(runner.decoder, &usage);
    std::printf(
        "100 tokens, 5 beams: %llu cells, %.1f MB\n", static_cast<unsigned long long>(usage.cells),
        static_cast<double>(usage.bytes) / 1e6
    );
    expect(usage.slots == 1 && usage.cells >= 100 && usage.cells < 500, "cells of dead hypotheses are free");
}

void test_failures(hs_model* model, const std::vector<Features>& windows) {
    const Runner runner(model, 1, windows);
    uint64_t slot = 0;
    const uint32_t prompt[] = {runner.info.start_of_transcript, runner.info.no_timestamps};
    check(hs_open(runner.decoder, runner.encodings[0], prompt, 2, &slot, nullptr));
    uint32_t counts[1], tokens[4];
    float log_probs[4];
    hs_row good = {slot, 0, prompt[1], {}};
    good.rule.repetition_penalty = 1;
    good.rule.banned_set = HS_NO_SET;
    good.rule.k = 4;
    const auto step = [&](const hs_row& row, size_t stride = 4) {
        return hs_step(runner.decoder, &row, 1, stride, counts, tokens, log_probs);
    };
    const auto refuses = [&](const char* what, auto change) {
        hs_row row = good;
        change(row);
        expect(step(row) == HS_INVALID, what);
    };
    refuses("slot", [](hs_row& row) { row.slot += 7; });
    refuses("parent", [](hs_row& row) { row.parent = 1; });
    refuses("token", [&](hs_row& row) { row.token = runner.info.vocabulary; });
    refuses("k", [](hs_row& row) { row.rule.k = 0; });
    refuses("too many candidates", [](hs_row& row) { row.rule.k = 5; });
    refuses("set", [](hs_row& row) { row.rule.banned_set = 3; });
    refuses("pick", [](hs_row& row) { row.rule.pick = 2; });
    const hs_range all_but_two = {2, runner.info.vocabulary};
    good.rule.banned_ranges = &all_but_two;
    good.rule.banned_range_count = 1;
    check(step(good));
    expect(counts[0] == 2 && tokens[0] < 2 && tokens[1] < 2, "banned tokens are no candidates");
    hs_close(runner.decoder, slot);
    expect(step(good) == HS_INVALID, "a closed slot");
    hs_close(runner.decoder, slot);
    const hs_window none = {windows[0].values.data(), 0}, long_one = {windows[0].values.data(), 3001};
    hs_encoding* encoding = nullptr;
    expect(hs_encode(runner.encoder, &none, 1, &encoding) == HS_INVALID, "no frames");
    for (const int32_t frames : {1, 2, 3, 40, 2999}) {
        const Features few = windows[0].first(frames);
        const hs_window window = few.window();
        check(hs_encode(runner.encoder, &window, 1, &encoding));
        hs_encoding_release(encoding);
    }
    expect(hs_encode(runner.encoder, &long_one, 1, &encoding) == HS_INVALID, "too many frames");
    hs_model* missing = nullptr;
    expect(
        hs_model_load("/nonexistent", "int8", HS_CPU, 0, &missing) == HS_FAILED && std::strlen(hs_error()) > 0,
        "no model"
    );
}

void test_noise() {
    // The numbers of `search/random.rs`.
    const uint32_t tokens[] = {0, 1, 50257, 51864};
    const uint32_t expected[] = {1067172062, 1074350309, 1074752708, 3208739478};
    for (size_t i = 0; i < 4; ++i) {
        const float noise = halkspeech::gumbel_noise(10429045597182185950u, tokens[i]);
        uint32_t bits;
        std::memcpy(&bits, &noise, sizeof bits);
        expect(bits == expected[i], "noise of token " + std::to_string(tokens[i]));
    }
}

#ifndef __SANITIZE_ADDRESS__
void test_out_of_memory(hs_model* model, const std::vector<Features>& windows) {
    const Runner runner(model, 1, {windows[1].first(100)});
    long pages = 0;
    FILE* file = std::fopen("/proc/self/statm", "r");
    if (file == nullptr || std::fscanf(file, "%ld", &pages) != 1) return expect(false, "/proc/self/statm");
    std::fclose(file);
    rlimit before;
    getrlimit(RLIMIT_AS, &before);
    // Less than the encoder needs for 30 s.
    const rlimit tight = {static_cast<rlim_t>(pages) * 4096 + (rlim_t{2} << 20), before.rlim_max};
    setrlimit(RLIMIT_AS, &tight);
    const hs_window window = windows[0].window();
    hs_encoding* encoding = nullptr;
    const int status = hs_encode(runner.encoder, &window, 1, &encoding);
    setrlimit(RLIMIT_AS, &before);
    expect(status == HS_OUT_OF_MEMORY, "out of memory is a code");
    check(hs_encode(runner.encoder, &window, 1, &encoding));
    hs_encoding_release(encoding);
}
#endif

}  // namespace

int main(int argc, char** argv) {
    // Freed memory goes back at once, for the test of its end.
    mallopt(M_MMAP_THRESHOLD, 64 << 10);
    if (argc > 5) expect(halkspeech::select_kernels(argv[5]), "these kernels run here");
    hs_model* model = nullptr;
    check(hs_model_load(argv[1], argv[2], HS_CPU, 0, &model));
    hs_model_info info;
    check(hs_model_describe(model, &info));
    std::printf("%s %s %s\n", argv[1], info.compute_type, info.kernels);
    const Features first(argv[3]), second(argv[4]);
    const std::vector<Features> windows = {first, second.first(700), second.first(1501)};
    test_noise();
    test_failures(model, windows);
    test_cells(model, windows);
    test_company(model, windows);
#ifndef __SANITIZE_ADDRESS__
    test_out_of_memory(model, windows);
#endif
    hs_model_free(model);
    std::printf("%d failures\n", test::failures);
    return test::failures == 0 ? 0 : 1;
}
