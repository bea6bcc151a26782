// Compares the runner with CTranslate2's own `Whisper` on real speech: the encoder's output, tokens, language, times.
// Of the first seconds of each recording too, whose encoder is one of CTranslate2's layers with the runner's positions.
// usage: golden MODEL COMPUTE_TYPE LANGUAGE_TOKEN|- KERNELS|- FEATURES...   (features as dump_features.py writes them)

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <ctranslate2/layers/transformer.h>
#include <ctranslate2/models/whisper.h>
#include <ctranslate2/ops/ops.h>

#include "model/encoder.h"
#include "runner.h"
#include "tests/features.h"
#include "tests/search.h"

using namespace ctranslate2;
using test::check;
using test::expect;
using test::failures;
using test::Features;
using test::Options;
using test::Search;
using test::Tokens;

namespace {

StorageView view_of(const Features& features) {
    return StorageView({1, features.mels, features.frames}, features.values);
}

std::string as_text(const std::vector<size_t>& tokens) {
    std::string text;
    for (const size_t token : tokens) text += std::to_string(token) + " ";
    return text;
}

void compare_texts(
    const std::string& what, const Tokens& ours, const std::vector<size_t>& theirs, float our_score, float their_score,
    bool is_exact
) {
    const std::vector<size_t> tokens(ours.begin(), ours.end());
    const bool are_equal = tokens == theirs;
    if (!are_equal)
        std::printf(
            "  %s differs\n   ours %s(%f)\n theirs %s(%f)\n", what.c_str(), as_text(tokens).c_str(), our_score,
            as_text(theirs).c_str(), their_score
        );
    if (is_exact) {
        expect(are_equal, what);
        expect(
            !are_equal || std::abs(our_score - their_score) < 1e-3f,
            what + ": score " + std::to_string(our_score) + " " + std::to_string(their_score)
        );
    }
}

// The encoder on less than 30 s, of CTranslate2's public layers: behind the positions of the features every 20th of
// those of the silence up to 30 s, the last among them.
class ReferenceEncoder {
public:
    explicit ReferenceEncoder(std::shared_ptr<const models::Model> model)
        : model_(std::move(model))
        , conv1_(*model_, "encoder/conv1", 1, 1, 1, 1, &gelu)
        , conv2_(*model_, "encoder/conv2", 2, 1, 1, 1, &gelu)
        , norm_(*model_, "encoder/layer_norm") {
        const auto heads = model_->get_attribute<int32_t>("encoder/num_heads");
        for (size_t i = 0; model_->layer_exists("encoder/layer_" + std::to_string(i)); ++i)
            layers_.push_back(std::make_unique<layers::TransformerEncoderLayer>(
                *model_, "encoder/layer_" + std::to_string(i), heads, true, ops::ActivationType::GELU
            ));
    }

    StorageView operator()(const StorageView& features) const {
        StorageView a, b;
        conv1_(features, a);
        conv2_(a, b);
        ops::Transpose({0, 2, 1})(b, a);
        const StorageView& table = model_->get_variable("encoder/position_encodings/encodings");
        const dim_t time = a.dim(1), max_time = table.dim(0), width = a.dim(2);
        std::vector<float> rows;
        const auto add = [&](dim_t from, dim_t position) {
            for (dim_t j = 0; j < width; ++j)
                rows.push_back(a.at<float>({0, from, j}) + table.at<float>({position, j}));
        };
        for (dim_t i = 0; i < time; ++i) add(time == max_time ? i : std::min(i, time - 2), i);
        std::vector<dim_t> silence;
        // The first group of positions has the rest, so that the last position is the last of its group.
        for (dim_t i = max_time - 1; i >= time + 19; i -= 20) silence.insert(silence.begin(), i);
        for (const dim_t i : silence) add(time - 2, i);
        StorageView x({1, static_cast<dim_t>(rows.size()) / width, width}, rows), y;
        for (const auto& layer : layers_) {
            (*layer)(x, nullptr, y);
            x = std::move(y);
        }
        norm_(x, y);
        return y;
    }

private:
    static constexpr ops::ActivationType gelu = ops::ActivationType::GELU;

    std::shared_ptr<const models::Model> model_;
    layers::Conv1D conv1_, conv2_;
    layers::LayerNorm norm_;
    std::vector<std::unique_ptr<layers::TransformerEncoderLayer>> layers_;
};

constexpr ops::ActivationType ReferenceEncoder::gelu;

// Root of the mean of squares.
double distance(const float* a, const StorageView& b) {
    double sum = 0;
    for (dim_t i = 0; i < b.size(); ++i) sum += std::pow(static_cast<double>(a[i]) - b.data<float>()[i], 2);
    return std::sqrt(sum / static_cast<double>(b.size()));
}

}  // namespace

int main(int argc, char** argv) {
    const std::string folder = argv[1], type = argv[2], language = argv[3];
    if (std::strcmp(argv[4], "-") != 0 && !halkspeech::select_kernels(argv[4])) return 1;
    const bool is_exact = type == "float32";
    hs_model* model = nullptr;
    check(hs_model_load(folder.c_str(), type.c_str(), HS_CPU, 0, &model));
    hs_model_info info;
    check(hs_model_describe(model, &info));
    std::printf(
        "%s %s kernels %s, %.1f MB, vocabulary %u, languages %u\n", folder.c_str(), info.compute_type, info.kernels,
        static_cast<double>(info.weight_bytes) / 1e6, info.vocabulary, info.languages
    );
    hs_encoder* encoder = nullptr;
    hs_decoder* decoder = nullptr;
    check(hs_encoder_new(model, 1, &encoder));
    check(hs_decoder_new(model, 1, &decoder));
    // The same handle's encoder, for its output.
    halkspeech::Encoder plain(halkspeech::load_model(folder, type));

    models::ModelLoader loader(folder);
    loader.compute_type = str_to_compute_type(type);
    ReplicaPoolConfig config;
    config.num_threads_per_replica = 1;
    models::Whisper whisper(loader, config);

    const ReferenceEncoder reference(models::Model::load(folder, Device::CPU, 0, loader.compute_type));
    const ReferenceEncoder exact(models::Model::load(folder, Device::CPU, 0, ComputeType::FLOAT32));
    std::vector<std::pair<std::string, Features>> recordings;
    for (int i = 5; i < argc; ++i) {
        recordings.emplace_back(argv[i], Features(argv[i]));
        const int32_t frames = 433 + 333 * (i - 5) % 1800;
        recordings.emplace_back(
            std::string(argv[i]) + ", " + std::to_string(frames) + " frames", recordings.back().second.first(frames)
        );
    }
    for (const auto& [name, features] : recordings) {
        std::printf("%s\n", name.c_str());
        const hs_window window = features.window();
        hs_encoding* encoding = nullptr;
        check(hs_encode(encoder, &window, 1, &encoding));

        const bool is_whole = features.frames == 3000;
        const StorageView output =
            is_whole ? whisper.encode(view_of(features), true).get() : reference(view_of(features));
        int64_t positions = 0;
        const float* ours = plain.output({features.values.data(), features.frames}, &positions);
        expect(positions == output.dim(1), "positions");
        float encoder_difference = 0, largest = 0;
        for (dim_t j = 0; j < output.size(); ++j) {
            encoder_difference = std::max(encoder_difference, std::abs(ours[j] - output.data<float>()[j]));
            largest = std::max(largest, std::abs(output.data<float>()[j]));
        }
        std::printf("  encoder, %ld positions: largest difference %g of %g\n", positions, encoder_difference, largest);
        if (is_exact) {
            expect(encoder_difference < 1e-3f * largest, "encoder");
        } else {
            const StorageView best = exact(view_of(features));
            const double our_error = distance(ours, best), their_error = distance(output.data<float>(), best);
            std::printf("  encoder: error against float32 %g, CTranslate2's %g\n", our_error, their_error);
            expect(our_error < 1.1 * their_error, "encoder's error");
        }
        const StorageView& encoded = output;

        if (info.languages > 0) {
            const auto theirs = whisper.detect_language(encoded)[0].get();
            std::vector<float> probabilities(info.languages);
            check(hs_detect_language(decoder, &encoding, 1, probabilities.data()));
            std::vector<float> sorted = probabilities;
            std::sort(sorted.begin(), sorted.end(), std::greater<float>());
            float difference = 0;
            for (size_t j = 0; j < theirs.size(); ++j)
                difference = std::max(difference, std::abs(theirs[j].second - sorted[j]));
            std::printf(
                "  language %s %f, largest difference %g\n", theirs[0].first.c_str(), theirs[0].second, difference
            );
            if (is_exact) expect(difference < 1e-3f, "language");
        }

        Tokens start = {info.start_of_transcript};
        if (info.languages > 0) {
            start.push_back(static_cast<uint32_t>(std::atoi(language.c_str())));
            start.push_back(info.start_of_transcript + info.languages + 2);  // <|transcribe|>
        }
        struct Variant {
            size_t beam_size;
            bool timestamps, has_previous;
            float repetition_penalty;
        };
        std::vector<size_t> greedy_text;
        for (const Variant& variant : std::initializer_list<Variant>{
                 {1, false, false, 1}, {1, true, false, 1}, {5, false, false, 1}, {5, true, false, 1},
                 {1, true, true, 1.1f}, {5, false, true, 1.3f},
             }) {
            Tokens prompt;
            if (variant.has_previous) {
                prompt.push_back(info.no_speech - 1);  // <|startofprev|>
                for (size_t j = 0; j < std::min<size_t>(greedy_text.size(), 20); ++j)
                    prompt.push_back(static_cast<uint32_t>(greedy_text[j]));
            }
            prompt.insert(prompt.end(), start.begin(), start.end());
            if (!variant.timestamps) prompt.push_back(info.no_timestamps);
            models::WhisperOptions options;
            options.beam_size = variant.beam_size;
            options.repetition_penalty = variant.repetition_penalty;
            options.return_scores = true;
            options.return_no_speech_prob = true;
            const auto theirs = whisper.generate(
                encoded, std::vector<std::vector<size_t>>{{prompt.begin(), prompt.end()}}, options
            )[0].get();
            Options ours;
            ours.beam_size = variant.beam_size;
            ours.timestamps = variant.timestamps;
            ours.repetition_penalty = variant.repetition_penalty;
            Search search(decoder, info, encoding, prompt, ours);
            test::run(decoder, {&search});
            float score = 0;
            const Tokens text = search.best(&score);
            const std::string what = "beam " + std::to_string(variant.beam_size)
                + (variant.timestamps ? ", times" : "") + (variant.has_previous ? ", prompt" : "");
            compare_texts(what, text, theirs.sequences_ids[0], score, theirs.scores[0], is_exact);
            if (is_exact)
                expect(std::abs(search.no_speech_prob - theirs.no_speech_prob) < 1e-4f, what + ": no speech");
            if (greedy_text.empty()) greedy_text = theirs.sequences_ids[0];
        }

        const Tokens text(greedy_text.begin(), greedy_text.end());
        const auto aligned = whisper.align(
            encoded, {start.begin(), start.end()}, {greedy_text}, {static_cast<size_t>(features.frames)}, 7
        )[0].get();
        std::vector<float> probabilities(text.size());
        std::vector<hs_alignment_step> path(text.size() + 1 + static_cast<size_t>(features.frames) / 2);
        size_t length = 0;
        check(hs_align(
            decoder, encoding, start.data(), start.size(), text.data(), text.size(), window.frames, 7,
            probabilities.data(), path.data(), &length
        ));
        float difference = 0;
        for (size_t j = 0; j < text.size(); ++j)
            difference = std::max(difference, std::abs(probabilities[j] - aligned.text_token_probs[j]));
        // The first position of each token.
        std::vector<int64_t> our_times(text.size() + 1, -1), their_times(text.size() + 1, -1);
        for (size_t j = 0; j < length; ++j) {
            if (our_times[path[j].token] < 0) our_times[path[j].token] = path[j].position;
        }
        for (const auto& [token, position] : aligned.alignments) {
            if (their_times[static_cast<size_t>(token)] < 0) their_times[static_cast<size_t>(token)] = position;
        }
        int64_t max_positions = 0;
        for (size_t j = 0; j < our_times.size(); ++j)
            max_positions = std::max(max_positions, std::abs(our_times[j] - their_times[j]));
        std::printf(
            "  aligned %zu tokens: largest difference %g of probabilities, %ld positions of times\n", text.size(),
            difference, max_positions
        );
        if (is_exact) {
            expect(difference < 1e-3f, "probabilities of tokens");
            expect(max_positions <= 1, "times of tokens");
        }
        hs_encoding_release(encoding);
    }
    hs_decoder_free(decoder);
    hs_encoder_free(encoder);
    hs_model_free(model);
    std::printf("%d failures\n", failures);
    return failures == 0 ? 0 : 1;
}
