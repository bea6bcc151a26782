// Writes golden.txt: searches of CTranslate2's own library on a model whose logits are hashes of the tokens before.
//
// Built by hand against the headers and the library of one version of CTranslate2 (its Python wheel has the
// library), and not part of any build:
//     g++ -std=c++17 -O1 -ffp-contract=off -I<CTranslate2>/include golden.cc <wheel>/libctranslate2-*.so.4.8.4
//     OMP_NUM_THREADS=1 ./a.out > golden.txt
// `fake_model.rs` has the same model, `golden.rs` reads the file.

#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <ctranslate2/decoding.h>

using namespace ctranslate2;
using Tokens = std::vector<size_t>;

namespace ctranslate2::models {

// As in whisper.cc; the functions are the library's.
class ApplyTimestampRules : public LogitsProcessor {
public:
    ApplyTimestampRules(size_t eot, size_t no_timestamps, size_t begin, size_t end, size_t max_initial)
        : _eot_id(eot), _no_timestamps_id(no_timestamps), _timestamp_begin_id(begin), _timestamp_end_id(end),
          _max_initial_timestamp_id(max_initial) {}
    void apply(
        dim_t step, StorageView& logits, DisableTokens& disable_tokens, const StorageView& sequences,
        const std::vector<dim_t>& batch_offset, const std::vector<std::vector<size_t>>* prefix
    ) override;

private:
    const size_t _eot_id;
    const size_t _no_timestamps_id;
    const size_t _timestamp_begin_id;
    const size_t _timestamp_end_id;
    const size_t _max_initial_timestamp_id;
};

}  // namespace ctranslate2::models

namespace {

constexpr uint64_t gamma = 0x9E3779B97F4A7C15;
constexpr size_t vocabulary = 400;
constexpr size_t end_of_text = 250;
constexpr size_t no_timestamps = 298;
constexpr size_t timestamp_begin = 299;

uint64_t mix(uint64_t bits) {
    bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9;
    bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EB;
    return bits ^ (bits >> 31);
}

struct Random {
    uint64_t state = 25;
    uint64_t below(uint64_t bound) { return mix(state += gamma) % bound; }
    template <typename T>
    T one_of(std::initializer_list<T> list) { return list.begin()[below(list.size())]; }
};

struct Case {
    uint64_t seed;
    float sharpness, end_base, end_slope, timestamp_penalty;
    size_t beam_size;
    float patience, length_penalty, repetition_penalty;
    size_t ngram, max_tokens;
    int max_initial;  // -1: no time stamps
    bool suppress_blank;
    Tokens prefix, suppressed;
};

// The state is the hash of the tokens of a row, in two integers.
class FakeDecoder : public layers::Decoder {
public:
    explicit FakeDecoder(const Case& options) : Decoder(Device::CPU), _options(options) {}

    layers::DecoderState initial_state(bool = true) const override {
        StorageView hash({1, 2}, DataType::INT32);
        store(hash, 0, mix(_options.seed + gamma));
        layers::DecoderState state;
        state.emplace("hash", std::move(hash));
        return state;
    }

    void operator()(
        dim_t step, const StorageView& ids, layers::DecoderState& state, StorageView* logits, StorageView*
    ) override {
        StorageView& hashes = state.at("hash");
        const dim_t rows = hashes.dim(0);
        logits->resize({rows, vocabulary});
        for (dim_t row = 0; row < rows; ++row) {
            uint64_t hash;
            std::memcpy(&hash, hashes.data<int32_t>() + 2 * row, sizeof(hash));
            hash = mix(hash ^ ((static_cast<uint64_t>(ids.data<int32_t>()[row]) + 1) * gamma));
            store(hashes, row, hash);
            for (size_t token = 0; token < vocabulary; ++token)
                logits->at<float>({row, static_cast<dim_t>(token)}) = logit(hash, token, step);
        }
    }

    void operator()(
        const StorageView&, const StorageView&, layers::DecoderState&, StorageView&, StorageView*
    ) override {
        throw std::runtime_error("not used");
    }

    DataType output_type() const override { return DataType::FLOAT32; }
    dim_t output_size() const override { return vocabulary; }

protected:
    layers::Dense& output_layer() override { throw std::runtime_error("not used"); }

private:
    float logit(uint64_t hash, size_t token, dim_t length) const {
        const uint64_t bits = mix(hash + (token + 1) * gamma) >> 40;
        float part = static_cast<float>(bits) * 0x1p-24f;
        if (token == end_of_text) part = part * (1.f - _options.end_base) + _options.end_base;
        float logit = part * _options.sharpness;
        if (token == end_of_text) logit += _options.end_slope * static_cast<float>(length);
        if (token >= timestamp_begin) logit -= _options.timestamp_penalty;
        return logit;
    }

    static void store(StorageView& hashes, dim_t row, uint64_t hash) {
        std::memcpy(hashes.data<int32_t>() + 2 * row, &hash, sizeof(hash));
    }

    const Case _options;
};

Case random_case(Random& random) {
    Case options;
    options.seed = random.below(1 << 30);
    options.sharpness = random.one_of({3.f, 8.f, 16.f});
    options.end_base = random.one_of({0.f, 0.96875f, 0.984375f});
    options.end_slope = random.one_of({0.f, 0.125f, 0.25f, 0.5f, 1.f});
    options.timestamp_penalty = random.one_of({0.f, 3.f, 5.f});
    options.beam_size = random.one_of<size_t>({1, 1, 2, 3, 5, 5, 5, 8});
    options.patience = options.beam_size == 1 ? 1.f : random.one_of({0.5f, 1.f, 1.f, 1.f, 1.5f, 2.f});
    options.length_penalty = random.one_of({0.f, 0.6f, 1.f, 1.f, 1.f, 2.f});
    options.repetition_penalty = random.one_of({1.f, 1.f, 1.25f, 0.75f});
    options.ngram = random.one_of<size_t>({0, 0, 1, 2, 3});
    options.max_tokens = random.one_of<size_t>({1, 2, 6, 20, 40, 40});
    options.max_initial = random.one_of({-1, 0, 5, 50, 1000});
    options.suppress_blank = random.below(3) > 0;
    for (uint64_t count = random.one_of({0, 0, 1, 4, 9}); count > 0; --count)
        options.prefix.push_back(random.below(3) > 0 ? random.below(end_of_text) : timestamp_begin + random.below(101));
    for (uint64_t count = random.one_of({0, 3, 12}); count > 0; --count)
        options.suppressed.push_back(random.below(vocabulary));
    return options;
}

DecodingResult search(const Case& options) {
    // As in whisper.cc.
    DecodingOptions decoding;
    decoding.start_step = 0;
    decoding.beam_size = options.beam_size;
    decoding.patience = options.patience;
    decoding.length_penalty = options.length_penalty;
    decoding.repetition_penalty = options.repetition_penalty;
    decoding.no_repeat_ngram_size = options.ngram;
    decoding.max_length = options.max_tokens;
    decoding.sampling_topk = 1;
    decoding.num_hypotheses = 1;
    decoding.return_scores = true;
    decoding.include_eos_in_hypotheses = false;
    decoding.disable_ids = options.suppressed;
    if (options.suppress_blank) decoding.disable_ids_begin = {7, end_of_text};
    if (options.max_initial >= 0)
        decoding.logits_processors.push_back(std::make_shared<models::ApplyTimestampRules>(
            end_of_text, no_timestamps, timestamp_begin, vocabulary - 1, timestamp_begin + options.max_initial
        ));
    Tokens start = {260};
    start.insert(start.end(), options.prefix.begin(), options.prefix.end());
    FakeDecoder decoder(options);
    layers::DecoderState state = decoder.initial_state();
    return decode(decoder, state, {start}, {end_of_text}, decoding)[0];
}

void print(const char* name, const Tokens& tokens) {
    std::printf(" %s=", name);
    for (size_t i = 0; i < tokens.size(); ++i) std::printf(i == 0 ? "%zu" : ",%zu", tokens[i]);
}

}  // namespace

int main() {
    Random random;
    for (int i = 0; i < 400; ++i) {
        const Case options = random_case(random);
        const DecodingResult result = search(options);
        std::printf(
            "seed=%" PRIu64 " sharpness=%g end_base=%g end_slope=%g timestamp_penalty=%g beam_size=%zu "
            "patience=%g length_penalty=%g repetition_penalty=%g ngram=%zu max_tokens=%zu max_initial=%d suppress_blank=%d",
            options.seed, options.sharpness, options.end_base, options.end_slope, options.timestamp_penalty,
            options.beam_size, options.patience, options.length_penalty, options.repetition_penalty, options.ngram, options.max_tokens,
            options.max_initial, options.suppress_blank
        );
        print("prefix", options.prefix);
        print("suppressed", options.suppressed);
        print("tokens", result.hypotheses[0]);
        std::printf(" score=%.9g\n", result.scores[0]);
    }
}
