// Processor time of the runner: a window's encoding, and a step, at beams of 1 and 5. And memory after loading.
// usage: speed MODEL COMPUTE_TYPE FEATURES [KERNELS]

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "runner.h"
#include "tests/features.h"
#include "tests/search.h"

using test::check;
using test::Tokens;

namespace {

double now() {
    timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) / 1e6;
}

void print_memory() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
        if (line.rfind("VmHWM", 0) == 0 || line.rfind("VmRSS", 0) == 0) std::printf("%s\n", line.c_str());
    }
}

template <typename Work>
double best_of(int tries, Work work) {
    double best = 1e9;
    for (int i = 0; i < tries; ++i) {
        const double start = now();
        work();
        best = std::min(best, now() - start);
    }
    return best;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc > 4 && !halkspeech::select_kernels(argv[4])) return 1;
    hs_model* model = nullptr;
    check(hs_model_load(argv[1], argv[2], HS_CPU, 0, &model));
    hs_model_info info;
    check(hs_model_describe(model, &info));
    std::printf("kernels %s, weights %.1f MB\n", info.kernels, static_cast<double>(info.weight_bytes) / 1e6);
    print_memory();
    const test::Features features(argv[3]);
    hs_encoder* encoder = nullptr;
    hs_decoder* decoder = nullptr;
    check(hs_encoder_new(model, 1, &encoder));
    check(hs_decoder_new(model, 1, &decoder));
    for (const int n : {900, 3000}) {
        const test::Features part = features.first(n);
        const hs_window window = part.window();
        hs_encoding* encoding = nullptr;
        const double encode = best_of(6, [&] {
            hs_encoding_release(encoding);
            check(hs_encode(encoder, &window, 1, &encoding));
        });
        std::printf("frames %d encode %.1f ms (positions %u)", n, encode, hs_encoding_positions(encoding));
        for (const size_t beam : {1, 5}) {
            double times[2];
            double open = 0;
            for (int at = 0; at < 2; ++at) {
                test::Options options;
                options.beam_size = beam;
                options.max_length = at == 0 ? 16 : 128;
                options.never_end = true;
                const Tokens prompt = {
                    info.start_of_transcript, info.start_of_transcript + 1, info.start_of_transcript + 101,
                    info.no_timestamps
                };
                times[at] = best_of(4, [&] {
                    const double start = now();
                    test::Search search(decoder, info, encoding, prompt, options);
                    open = now() - start;
                    test::run(decoder, {&search});
                });
            }
            const double token = (times[1] - times[0]) / 56;
            std::printf(
                "; beam %zu: %.2f ms a token, %.1f ms before (open %.1f)", beam, token, times[0] - 8 * token, open
            );
        }
        std::printf("\n");
        hs_encoding_release(encoding);
    }
    hs_decoder_free(decoder);
    hs_encoder_free(encoder);
    hs_model_free(model);
}
