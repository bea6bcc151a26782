// Joins encoder outputs into one batch, and takes rows out of a batch: what ct2rs has no call for.
// Each of the two leaves its result in `out`, or a message in `message` and returns false.

#include <cstdint>
#include <cstring>
#include <exception>
#include <vector>

#include <ctranslate2/devices.h>
#include <ctranslate2/ops/concat.h>
#include <ctranslate2/ops/gather.h>
#include <ctranslate2/storage_view.h>

using ctranslate2::StorageView;

namespace {

template <typename Work>
bool guarded(char* message, size_t size, Work work) {
    try {
        work();
        return true;
    } catch (const std::exception& error) {
        std::strncpy(message, error.what(), size - 1);
    } catch (...) {
        std::strncpy(message, "unknown exception", size - 1);
    }
    message[size - 1] = '\0';
    return false;
}

}  // namespace

extern "C" bool halkspeech_join(
    StorageView* out, const StorageView* const* parts, size_t count, char* message, size_t size
) {
    return guarded(message, size, [&] {
        const StorageView& first = *parts[0];
        const ctranslate2::ScopedDeviceSetter on(first.device(), first.device_index());
        StorageView joined(first.dtype(), first.device());
        ctranslate2::ops::Concat(0)(std::vector<const StorageView*>(parts, parts + count), joined);
        // The next call runs on another thread, and so on another stream of the device.
        ctranslate2::synchronize_stream(joined.device());
        *out = std::move(joined);
    });
}

extern "C" bool halkspeech_select(
    StorageView* out, const StorageView* batch, const int32_t* rows, size_t count, char* message, size_t size
) {
    return guarded(message, size, [&] {
        const ctranslate2::ScopedDeviceSetter on(batch->device(), batch->device_index());
        const StorageView ids(
            {static_cast<ctranslate2::dim_t>(count)}, std::vector<int32_t>(rows, rows + count), batch->device()
        );
        StorageView selected(batch->dtype(), batch->device());
        ctranslate2::ops::Gather(0)(*batch, ids, selected);
        ctranslate2::synchronize_stream(selected.device());
        *out = std::move(selected);
    });
}

// For tests: the numbers of an encoding on a processor.
extern "C" const float* halkspeech_values(const StorageView* encoding) { return encoding->data<float>(); }
