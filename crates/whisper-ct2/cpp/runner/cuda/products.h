// Matrix products of 16-bit floats by cuBLASLt, whose sums are 32-bit floats.

#pragma once

#include <cstdint>
#include <memory>

#include <cuda_fp16.h>

#include "stream.h"

namespace halkspeech::cuda {

// Y = X * W^T + bias + residual, row-major.
struct Product {
    int64_t rows, outputs, width;
    const __half* input;  // [rows, width], `ld_input` between rows
    int64_t ld_input;
    const __half* weights;  // [outputs, width], `ld_weights` between rows
    int64_t ld_weights;
    // One of the two; [rows, outputs], `outputs` between rows.
    __half* output = nullptr;
    float* sums = nullptr;
    const __half* bias = nullptr;      // [outputs], or null; not with `sums`
    const __half* residual = nullptr;  // [rows, outputs], or null; may be `output`; not with `sums`
    bool adds = false;                 // Y is added to `sums`
};

// For one stream and one thread at a time.
class Products {
public:
    // # Errors: cuBLAS is missing, or out of memory.
    explicit Products(SharedStream stream);
    ~Products();
    Products(const Products&) = delete;
    Products& operator=(const Products&) = delete;

    // Starts a product. All pointers are aligned to 256 bytes. # Errors: cuBLAS', with the product's shape.
    void multiply(const Product& product);

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace halkspeech::cuda
