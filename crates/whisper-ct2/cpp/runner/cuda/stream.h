// A stream of a GPU. Streams are not blocking: the legacy stream, which waits for all others, is never used.

#pragma once

#include <memory>

#include "status.h"

namespace halkspeech::cuda {

class Stream {
public:
    explicit Stream(int device) : device_(device) {
        enter();
        check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
    }
    ~Stream() {
        if (cudaSetDevice(device_) == cudaSuccess) static_cast<void>(cudaStreamDestroy(stream_));
    }
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;

    int device() const { return device_; }
    cudaStream_t get() const { return stream_; }
    // Makes the GPU the calling thread's current one; before any other call for it.
    void enter() const { check(cudaSetDevice(device_)); }
    // Waits until the GPU has done all work of the stream. # Errors: those of the work.
    void synchronize() const { check(cudaStreamSynchronize(stream_)); }
    // The same where no exception may leave; the next call reports the errors that stay.
    void drain() const noexcept {
        if (cudaSetDevice(device_) == cudaSuccess) static_cast<void>(cudaStreamSynchronize(stream_));
    }

private:
    int device_;
    cudaStream_t stream_ = nullptr;
};

using SharedStream = std::shared_ptr<const Stream>;

// Waits for the stream at the end of a scope, also when an exception leaves it: what the work reads may be freed then.
class WorkScope {
public:
    explicit WorkScope(const Stream& stream) : stream_(stream) { stream.enter(); }
    ~WorkScope() { stream_.drain(); }
    WorkScope(const WorkScope&) = delete;
    WorkScope& operator=(const WorkScope&) = delete;

private:
    const Stream& stream_;
};

// A point in a stream's work.
class Event {
public:
    explicit Event(const Stream& stream) : device_(stream.device()) {
        stream.enter();
        check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming));
    }
    ~Event() {
        if (cudaSetDevice(device_) == cudaSuccess) static_cast<void>(cudaEventDestroy(event_));
    }
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;

    void record(const Stream& stream) { check(cudaEventRecord(event_, stream.get())); }
    // The later work of a stream waits for it; the calling thread does not.
    void delay(const Stream& stream) const { check(cudaStreamWaitEvent(stream.get(), event_, 0)); }
    // No wait if it was never recorded.
    void synchronize() const { check(cudaEventSynchronize(event_)); }

private:
    int device_;
    cudaEvent_t event_ = nullptr;
};

}  // namespace halkspeech::cuda
