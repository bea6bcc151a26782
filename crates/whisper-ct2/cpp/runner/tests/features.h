// Features of a recording, as dump_features.py writes them, and other small things that tests share.

#pragma once

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "runner.h"

namespace test {

struct Features {
    int32_t mels = 0, frames = 0;
    std::vector<float> values;

    explicit Features(const char* path) {
        std::ifstream file(path, std::ios::binary);
        file.read(reinterpret_cast<char*>(&mels), 4);
        file.read(reinterpret_cast<char*>(&frames), 4);
        values.resize(static_cast<size_t>(mels * frames));
        file.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(values.size() * 4));
        if (!file) throw std::runtime_error(std::string("cannot read ") + path);
    }

    // The first frames only, of which the last second are the recording's last, which are silence.
    Features first(int32_t count) const {
        const int32_t silence = count < 200 ? 0 : 100;
        Features part = *this;
        part.frames = count;
        part.values.clear();
        for (int32_t mel = 0; mel < mels; ++mel) {
            const float* row = values.data() + mel * frames;
            part.values.insert(part.values.end(), row, row + count - silence);
            part.values.insert(part.values.end(), row + frames - silence, row + frames);
        }
        return part;
    }

    hs_window window() const { return {values.data(), static_cast<uint32_t>(frames)}; }
};

inline int failures = 0;

inline void expect(bool holds, const std::string& what) {
    if (holds) return;
    ++failures;
    std::printf("FAILED: %s\n", what.c_str());
}

}  // namespace test
