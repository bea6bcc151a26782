// Memory of numbers that is aligned for vectors and not initialised.

#pragma once

#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>

namespace halkspeech {

template <typename Number>
class Buffer {
public:
    Buffer() = default;
    explicit Buffer(int64_t size) : size_(size) {
        constexpr size_t alignment = 64;
        const size_t bytes = (static_cast<size_t>(size) * sizeof(Number) + alignment - 1) / alignment * alignment;
        if (bytes == 0) return;
        data_ = static_cast<Number*>(std::aligned_alloc(alignment, bytes));
        if (data_ == nullptr) throw std::bad_alloc();
    }
    Buffer(Buffer&& other) noexcept { swap(other); }
    Buffer& operator=(Buffer&& other) noexcept {
        swap(other);
        return *this;
    }
    ~Buffer() { std::free(data_); }

    // Resizes; the content is lost if the buffer grows.
    Number* reserve(int64_t size) {
        if (size > size_) {
            *this = Buffer();
            *this = Buffer(size);
        }
        return data_;
    }

    Number* data() { return data_; }
    const Number* data() const { return data_; }
    int64_t size() const { return size_; }
    int64_t bytes() const { return size_ * static_cast<int64_t>(sizeof(Number)); }

private:
    void swap(Buffer& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
    }

    Number* data_ = nullptr;
    int64_t size_ = 0;
};

}  // namespace halkspeech
