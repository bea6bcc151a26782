// Memory of a GPU, and of the host for copies to and from it.

#pragma once

#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "stream.h"

namespace halkspeech::cuda {

// Allocates from the GPU's pool, which keeps freed memory, in the order of the stream's work. # Errors: out of memory.
void* allocate(const Stream& stream, size_t bytes);
void release(const Stream& stream, void* memory) noexcept;

// Numbers on a GPU, not initialised, aligned to 256 bytes. It may be freed when the work of other streams that uses it
// is done.
template <typename Number>
class DeviceBuffer {
public:
    DeviceBuffer() = default;
    explicit DeviceBuffer(SharedStream stream) : stream_(std::move(stream)) {}
    DeviceBuffer(SharedStream stream, int64_t size) : stream_(std::move(stream)) { reserve(size); }
    DeviceBuffer(DeviceBuffer&& other) noexcept { swap(other); }
    DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
        swap(other);
        return *this;
    }
    ~DeviceBuffer() { clear(); }

    // Resizes; the content is lost if the buffer grows.
    Number* reserve(int64_t size) {
        if (size > size_) {
            clear();
            data_ = static_cast<Number*>(allocate(*stream_, static_cast<size_t>(size) * sizeof(Number)));
            size_ = size;
        }
        return data_;
    }

    Number* data() { return data_; }
    const Number* data() const { return data_; }
    int64_t bytes() const { return size_ * static_cast<int64_t>(sizeof(Number)); }

private:
    void clear() noexcept {
        if (data_ != nullptr) release(*stream_, data_);
        data_ = nullptr;
        size_ = 0;
    }
    void swap(DeviceBuffer& other) noexcept {
        std::swap(stream_, other.stream_);
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
    }

    SharedStream stream_;
    Number* data_ = nullptr;
    int64_t size_ = 0;
};

// Bytes of the host that a GPU copies directly. No copy may be running when it grows or is freed.
class PinnedBytes {
public:
    PinnedBytes() = default;
    ~PinnedBytes() { static_cast<void>(cudaFreeHost(data_)); }
    PinnedBytes(const PinnedBytes&) = delete;
    PinnedBytes& operator=(const PinnedBytes&) = delete;

    // Keeps the first `used` bytes if it grows.
    uint8_t* reserve(size_t size, size_t used = 0);
    uint8_t* data() { return data_; }

private:
    uint8_t* data_ = nullptr;
    size_t size_ = 0;
};

// Arrays that go to a GPU in one copy. `clear`, `add` all, `send`, then `at`; the stream's work that reads them must be
// done before they are cleared.
class Tables {
public:
    explicit Tables(SharedStream stream) : stream_(stream), device_(std::move(stream)) {}

    void clear() { used_ = 0; }
    // The place of `count` numbers, for `at`.
    template <typename Number>
    size_t add(const Number* numbers, size_t count) {
        const size_t place = (used_ + alignment - 1) / alignment * alignment, bytes = count * sizeof(Number);
        host_.reserve(place + bytes, used_);
        if (bytes > 0) std::memcpy(host_.data() + place, numbers, bytes);
        used_ = place + bytes;
        return place;
    }
    template <typename Number>
    size_t add(const std::vector<Number>& numbers) {
        return add(numbers.data(), numbers.size());
    }
    void send();
    template <typename Number>
    const Number* at(size_t place) const {
        return reinterpret_cast<const Number*>(device_.data() + place);
    }

private:
    static constexpr size_t alignment = 16;

    SharedStream stream_;
    PinnedBytes host_;
    DeviceBuffer<uint8_t> device_;
    size_t used_ = 0;
};

}  // namespace halkspeech::cuda
