// Brings features to a card, joins encoder outputs into one batch, and takes rows out of a batch: what ct2rs has no call
// for. Each of them leaves its result in `out`, or a message in `message` and returns false.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <vector>

#include <ctranslate2/devices.h>
#include <ctranslate2/ops/concat.h>
#include <ctranslate2/ops/gather.h>
#include <ctranslate2/ops/slide.h>
#include <ctranslate2/primitives.h>
#include <ctranslate2/storage_view.h>

using ctranslate2::DataType;
using ctranslate2::Device;
using ctranslate2::dim_t;
using ctranslate2::primitives;
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

bool have_one_length(const std::vector<const StorageView*>& parts) {
    const dim_t length = parts.front()->dim(1);
    return std::all_of(parts.begin(), parts.end(), [&](const StorageView* part) { return part->dim(1) == length; });
}

// Each encoding behind the other, with zeros behind the shorter ones.
template <Device device, typename Number>
void fill_up(StorageView& joined, const std::vector<const StorageView*>& parts, dim_t longest) {
    const dim_t width = parts.front()->dim(2);
    auto* to = joined.data<Number>();
    for (const StorageView* part : parts) {
        const dim_t size = part->dim(1) * width;
        for (dim_t row = 0; row < part->dim(0); ++row, to += longest * width) {
            primitives<device>::copy(part->data<Number>() + row * size, to, size);
            primitives<device>::fill(to + size, Number(0), longest * width - size);
        }
    }
}

// Those that our decoder takes.
void fill_up(StorageView& joined, const std::vector<const StorageView*>& parts) {
    const dim_t width = parts.front()->dim(2);
    dim_t rows = 0, longest = 0;
    for (const StorageView* part : parts) {
        const bool fits = part->device() == joined.device() && part->dtype() == joined.dtype() && part->dim(2) == width;
        if (!fits) throw std::invalid_argument("encodings of a batch differ in more than their lengths");
        rows += part->dim(0);
        longest = std::max(longest, part->dim(1));
    }
    joined.resize({rows, longest, width});
    if (joined.device() == Device::CPU && joined.dtype() == DataType::FLOAT32)
        return fill_up<Device::CPU, float>(joined, parts, longest);
#ifdef HALKSPEECH_CUDA
    if (joined.device() == Device::CUDA && joined.dtype() == DataType::FLOAT16)
        return fill_up<Device::CUDA, ctranslate2::float16_t>(joined, parts, longest);
#endif
    throw std::invalid_argument("encodings of these numbers are joined where they have one length only");
}

}  // namespace

// The encoder makes 16-bit floats of them there. Left to itself, CTranslate2 makes those on the processor, one by one,
// while the card waits.
extern "C" bool halkspeech_upload(
    StorageView* out, const StorageView* features, int32_t card, char* message, size_t size
) {
    return guarded(message, size, [&] {
        const ctranslate2::ScopedDeviceSetter on(Device::CUDA, card);
        StorageView uploaded = features->to(Device::CUDA);
        ctranslate2::synchronize_stream(Device::CUDA);
        *out = std::move(uploaded);
    });
}

extern "C" bool halkspeech_join(
    StorageView* out, const StorageView* const* parts, size_t count, char* message, size_t size
) {
    return guarded(message, size, [&] {
        const StorageView& first = *parts[0];
        const ctranslate2::ScopedDeviceSetter on(first.device(), first.device_index());
        StorageView joined(first.dtype(), first.device());
        const std::vector<const StorageView*> all(parts, parts + count);
        if (have_one_length(all))
            ctranslate2::ops::Concat(0)(all, joined);
        else
            fill_up(joined, all);
        // The next call runs on another thread, and so on another stream of the device.
        ctranslate2::synchronize_stream(joined.device());
        *out = std::move(joined);
    });
}

extern "C" bool halkspeech_select(
    StorageView* out, const StorageView* batch, const int32_t* rows, size_t count, size_t positions, char* message,
    size_t size
) {
    return guarded(message, size, [&] {
        const ctranslate2::ScopedDeviceSetter on(batch->device(), batch->device_index());
        const StorageView ids(
            {static_cast<dim_t>(count)}, std::vector<int32_t>(rows, rows + count), batch->device()
        );
        StorageView selected(batch->dtype(), batch->device());
        ctranslate2::ops::Gather(0)(*batch, ids, selected);
        if (positions < static_cast<size_t>(selected.dim(1))) {
            const StorageView all = std::move(selected);
            ctranslate2::ops::Slide(1, 0, static_cast<dim_t>(positions))(all, selected);
        }
        ctranslate2::synchronize_stream(selected.device());
        *out = std::move(selected);
    });
}

// For tests: the numbers of an encoding on a processor.
extern "C" const float* halkspeech_values(const StorageView* encoding) { return encoding->data<float>(); }
