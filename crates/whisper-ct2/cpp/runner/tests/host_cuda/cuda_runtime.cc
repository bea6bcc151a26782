#include "cuda_runtime.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <unordered_map>
#include <vector>

// Saves the registers that a function must keep, and the stack pointer, then takes those of another fiber.
extern "C" void host_cuda_switch(void** saved, void* other);
asm(R"(
.text
.globl host_cuda_switch
.type host_cuda_switch, @function
host_cuda_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size host_cuda_switch, .-host_cuda_switch
)");

namespace host_cuda {

namespace {

constexpr int lanes = 32, max_threads = 1024;
constexpr size_t stack_bytes = 128 << 10;

enum class State { runs, waits_for_warp, waits_for_block, done };

struct Fiber {
    std::vector<uint8_t> stack;
    void* pointer = nullptr;
    dim3 thread;
    State state = State::done;
};

std::vector<Fiber> fibers(max_threads);
int count = 0, current = 0;
void* scheduler = nullptr;
const std::function<void()>* work = nullptr;
std::vector<uint8_t> shared;
Order order = Order::forward;
std::mt19937 random_bits(1);
int64_t allocations_left = -1, bytes_in_use = 0;
std::unordered_map<void*, size_t> sizes;
// What the lanes of each warp exchange; they may be one exchange ahead of each other.
uint8_t exchanged[max_threads / lanes][2][lanes][16];
int exchanges[max_threads];

[[noreturn]] void stop(const char* reason) {
    std::fprintf(stderr, "host_cuda: %s\n", reason);
    std::abort();
}

void leave(State state) {
    Fiber& fiber = fibers[static_cast<size_t>(current)];
    fiber.state = state;
    host_cuda_switch(&fiber.pointer, scheduler);
}

void run_fiber() {
    (*work)();
    leave(State::done);
    stop("a finished thread runs");
}

void start(int number, dim3 thread) {
    Fiber& fiber = fibers[static_cast<size_t>(number)];
    if (fiber.stack.empty()) fiber.stack.resize(stack_bytes);
    auto top = reinterpret_cast<uintptr_t>(fiber.stack.data() + stack_bytes) / 16 * 16;
    auto* places = reinterpret_cast<void**>(top);
    places[-1] = nullptr;
    places[-2] = reinterpret_cast<void*>(&run_fiber);
    fiber.pointer = places - 8;  // six registers, of any value
    fiber.thread = thread;
    fiber.state = State::runs;
}

void resume(int number) {
    Fiber& fiber = fibers[static_cast<size_t>(number)];
    current = number;
    threadIdx = fiber.thread;
    fiber.state = State::runs;
    host_cuda_switch(&scheduler, fiber.pointer);
}

std::vector<int> order_of(int size) {
    std::vector<int> numbers(static_cast<size_t>(size));
    for (int i = 0; i < size; ++i) numbers[static_cast<size_t>(i)] = order == Order::backward ? size - 1 - i : i;
    if (order == Order::shuffled) std::shuffle(numbers.begin(), numbers.end(), random_bits);
    return numbers;
}

// Runs a warp until its lanes wait for the block or are done.
void run_warp(int first) {
    const int size = std::min(lanes, count - first);
    const std::vector<int> numbers = order_of(size);
    while (true) {
        int waiting = 0, left = 0;
        for (int i = 0; i < size; ++i) {
            const State state = fibers[static_cast<size_t>(first + i)].state;
            waiting += state == State::waits_for_warp;
            left += state == State::runs || state == State::waits_for_warp;
        }
        if (left == 0) return;
        if (waiting == left && waiting != size) stop("not all lanes of a warp take part");
        const bool is_released = waiting == size;
        for (const int i : numbers) {
            const State state = fibers[static_cast<size_t>(first + i)].state;
            if (state == State::runs || (is_released && state == State::waits_for_warp)) resume(first + i);
        }
    }
}

void run_block() {
    while (true) {
        const int warps = (count + lanes - 1) / lanes;
        for (const int warp : order_of(warps)) run_warp(warp * lanes);
        bool is_any_waiting = false;
        for (int i = 0; i < count; ++i) {
            Fiber& fiber = fibers[static_cast<size_t>(i)];
            is_any_waiting |= fiber.state == State::waits_for_block;
            if (fiber.state == State::waits_for_block) fiber.state = State::runs;
        }
        if (!is_any_waiting) return;
    }
}

}  // namespace

void set_order(Order of_threads) { order = of_threads; }
void fail_allocations_after(int64_t further) { allocations_left = further; }
int64_t allocated_bytes() { return bytes_in_use; }
void* dynamic_shared() { return shared.data(); }
void wait_for_block() { leave(State::waits_for_block); }
void wait_for_warp() { leave(State::waits_for_warp); }

void exchange(void* value, size_t size, int step) {
    const int number = current, lane = number % lanes, parity = exchanges[number]++ % 2;
    auto& values = exchanged[number / lanes][parity];
    std::memcpy(values[lane], value, size);
    leave(State::waits_for_warp);
    std::memcpy(value, values[lane ^ step], size);
}

void run(dim3 of_blocks, dim3 of_threads, size_t shared_bytes, const std::function<void()>& kernel) {
    gridDim = of_blocks;
    blockDim = of_threads;
    count = static_cast<int>(of_threads.x * of_threads.y * of_threads.z);
    if (count > max_threads || shared_bytes > (48 << 10)) stop("a block is too large");
    work = &kernel;
    for (unsigned y = 0; y < of_blocks.y; ++y) {
        for (unsigned x = 0; x < of_blocks.x; ++x) {
            blockIdx = {x, y, 0};
            shared.assign(shared_bytes, 0xff);
            std::memset(exchanges, 0, sizeof exchanges);
            for (int i = 0; i < count; ++i) start(i, dim3(static_cast<unsigned>(i), 0, 0));
            run_block();
        }
    }
}

}  // namespace host_cuda

using namespace host_cuda;

const char* cudaGetErrorString(cudaError_t error) {
    return error == cudaErrorMemoryAllocation ? "out of memory" : "unknown error";
}

cudaError_t cudaMallocAsync(void** memory, size_t bytes, cudaStream_t) {
    if (allocations_left == 0) return cudaErrorMemoryAllocation;
    if (allocations_left > 0) --allocations_left;
    constexpr size_t alignment = 256;
    *memory = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
    if (*memory == nullptr) return cudaErrorMemoryAllocation;
    std::memset(*memory, 0xff, bytes);
    sizes[*memory] = bytes;
    bytes_in_use += static_cast<int64_t>(bytes);
    return cudaSuccess;
}

cudaError_t cudaFreeAsync(void* memory, cudaStream_t) {
    if (memory == nullptr) return cudaSuccess;
    const auto found = sizes.find(memory);
    if (found == sizes.end()) {
        std::fprintf(stderr, "host_cuda: memory is freed that is not allocated\n");
        std::abort();
    }
    bytes_in_use -= static_cast<int64_t>(found->second);
    sizes.erase(found);
    std::free(memory);
    return cudaSuccess;
}

cudaError_t cudaMallocHost(void** memory, size_t bytes) {
    *memory = std::malloc(bytes);
    return *memory == nullptr ? cudaErrorMemoryAllocation : cudaSuccess;
}

cudaError_t cudaFreeHost(void* memory) {
    std::free(memory);
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
    *total = size_t{16} << 30;
    *free = *total - static_cast<size_t>(bytes_in_use);
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
    *properties = {"host", 8, 0};
    return cudaSuccess;
}

cudaError_t cudaMemcpy2DAsync(
    void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t bytes, size_t rows, cudaMemcpyKind,
    cudaStream_t
) {
    for (size_t i = 0; i < rows; ++i)
        std::memcpy(static_cast<char*>(to) + i * to_pitch, static_cast<const char*>(from) + i * from_pitch, bytes);
    return cudaSuccess;
}
