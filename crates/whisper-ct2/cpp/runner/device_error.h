// The error of a device whose memory is exhausted.

#pragma once

#include <new>
#include <string>
#include <utility>

namespace halkspeech {

// The message is the device's.
class DeviceOutOfMemory : public std::bad_alloc {
public:
    explicit DeviceOutOfMemory(std::string message) : message_(std::move(message)) {}
    const char* what() const noexcept override { return message_.c_str(); }

private:
    std::string message_;
};

}  // namespace halkspeech
