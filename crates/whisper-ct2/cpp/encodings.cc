// Uploads features to a GPU, joins encoder outputs into one batch, and selects rows of a batch, for which ct2rs has no
// functions. Each function stores its result in `out`, or stores an error message in `message` and returns false.

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
bool catch_exceptions(char* message, size_t size, Work work) {
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

// Concatenates encodings, the shorter ones padded with zeros.
template <Device device, typename Element>
void join_padded(StorageView& joined, const std::vector<const StorageView*>& parts, dim_t max_length) {
    const dim_t width = parts.front()->dim(2);
    auto* to = joined.data<Element>();
    for (const StorageView* part : parts) {
        const dim_t size = part->dim(1) * width;
        for (dim_t row = 0; row < part->dim(0); ++row, to += max_length * width) {
            primitives<device>::copy(part->data<Element>() + row * size, to, size);
            primitives<device>::fill(to + size, Element(0), max_length * width - size);
        }
    }
}

// For the types that the project's own decoder supports.
void join_padded(StorageView& joined, const std::vector<const StorageView*>& parts) {
    const dim_t width = parts.front()->dim(2);
    dim_t rows = 0, max_length = 0;
    for (const StorageView* part : parts) {
        const bool fits = part->device() == joined.device() && part->dtype() == joined.dtype() && part->dim(2) == width;
        if (!fits) throw std::invalid_argument("encodings of a batch differ in more than their lengths");
        rows += part->dim(0);
        max_length = std::max(max_length, part->dim(1));
    }
    joined.resize({rows, max_length, width});
    if (joined.device() == Device::CPU && joined.dtype() == DataType::FLOAT32)
        return join_padded<Device::CPU, float>(joined, parts, max_length);
#ifdef HALKSPEECH_CUDA
    if (joined.device() == Device::CUDA && joined.dtype() == DataType::FLOAT16)
        return join_padded<Device::CUDA, ctranslate2::float16_t>(joined, parts, max_length);
#endif
    throw std::invalid_argument("encodings of this type can be joined only if they have one length");
}

}  // namespace

// The encoder converts the features to 16-bit floats on the GPU. Without this upload, CTranslate2 converts them on the
// CPU, one by one, while the GPU waits.
extern "C" bool halkspeech_upload(
    StorageView* out, const StorageView* features, int32_t gpu, char* message, size_t size
) {
    return catch_exceptions(message, size, [&] {
        const ctranslate2::ScopedDeviceSetter device(Device::CUDA, gpu);
        StorageView uploaded = features->to(Device::CUDA);
        ctranslate2::synchronize_stream(Device::CUDA);
        *out = std::move(uploaded);
    });
}

extern "C" bool halkspeech_join(
    StorageView* out, const StorageView* const* parts, size_t count, char* message, size_t size
) {
    return catch_exceptions(message, size, [&] {
        const StorageView& first = *parts[0];
        const ctranslate2::ScopedDeviceSetter device(first.device(), first.device_index());
        StorageView joined(first.dtype(), first.device());
        const std::vector<const StorageView*> all(parts, parts + count);
        if (have_one_length(all))
            ctranslate2::ops::Concat(0)(all, joined);
        else
            join_padded(joined, all);
        // The next call runs on another thread, and thereby on another stream of the device.
        ctranslate2::synchronize_stream(joined.device());
        *out = std::move(joined);
    });
}

extern "C" bool halkspeech_select(
    StorageView* out, const StorageView* batch, const int32_t* rows, size_t count, size_t positions, char* message,
    size_t size
) {
    return catch_exceptions(message, size, [&] {
        const ctranslate2::ScopedDeviceSetter device(batch->device(), batch->device_index());
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

// For tests: the elements of an encoding in CPU memory.
extern "C" const float* halkspeech_values(const StorageView* encoding) { return encoding->data<float>(); }
