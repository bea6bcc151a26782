// Chooses the table of kernels.

#include <cstring>
#include <initializer_list>

#include "kernels.h"

namespace halkspeech {

namespace {

const Kernels* best_kernels() {
    for (const Kernels* (*of)() : {avx512_kernels, avx2_kernels}) {
        if (const Kernels* found = of()) return found;
    }
    return generic_kernels();
}

const Kernels*& chosen() {
    static const Kernels* kernels = best_kernels();
    return kernels;
}

}  // namespace

const Kernels& kernels() { return *chosen(); }

bool select_kernels(const char* name) {
    for (const Kernels* (*of)() : {generic_kernels, avx2_kernels, avx512_kernels}) {
        const Kernels* found = of();
        if (found == nullptr || std::strcmp(found->name, name) != 0) continue;
        chosen() = found;
        return true;
    }
    return false;
}

}  // namespace halkspeech
