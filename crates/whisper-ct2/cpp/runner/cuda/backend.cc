#include "backend.h"

#include <stdexcept>

#include "decoder.h"
#include "encoder.h"
#include "flash.h"
#include "weights.h"

namespace halkspeech::cuda {

namespace {

// The oldest GPUs with the encoder's attention.
constexpr int min_major = 8;

class CudaModel final : public DeviceModel {
public:
    explicit CudaModel(std::shared_ptr<const GpuModel> model) : model_(std::move(model)) {}

    void describe(hs_model_info& info) const override {
        info = model_->info;
        describe_tokens(model_->tokens, info);
    }
    std::unique_ptr<WindowEncoder> encoder(int) const override { return std::make_unique<GpuEncoder>(model_); }
    std::unique_ptr<TokenDecoder> decoder(int) const override { return std::make_unique<GpuDecoder>(model_); }

private:
    std::shared_ptr<const GpuModel> model_;
};

// Freed memory stays in the GPU's pool, which all models of the process share.
void keep_freed_memory(int device) {
    int has_pools = 0;
    check(cudaDeviceGetAttribute(&has_pools, cudaDevAttrMemoryPoolsSupported, device));
    if (has_pools == 0) throw std::runtime_error("the GPU has no memory pools");
    cudaMemPool_t pool = nullptr;
    check(cudaDeviceGetDefaultMemPool(&pool, device));
    uint64_t threshold = UINT64_MAX;
    check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &threshold));
}

void check_device(const Stream& stream) {
    cudaDeviceProp properties;
    check(cudaGetDeviceProperties(&properties, stream.device()));
    if (properties.major < min_major) {
        throw std::runtime_error(
            std::string(properties.name) + " has compute capability " + std::to_string(properties.major) + "."
            + std::to_string(properties.minor) + "; 8.0 or later is supported"
        );
    }
    check_flash_attention(stream);
    if (properties.major == 9) check_flash_attention_sm90(stream);
}

}  // namespace

uint32_t device_count() {
    int count = 0;
    if (cudaGetDeviceCount(&count) != cudaSuccess) {
        static_cast<void>(cudaGetLastError());
        return 0;
    }
    return static_cast<uint32_t>(count);
}

hs_device_memory device_memory(uint32_t index) {
    const int device = static_cast<int>(index);
    check(cudaSetDevice(device));
    size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total));
    cudaMemPool_t pool = nullptr;
    check(cudaDeviceGetDefaultMemPool(&pool, device));
    uint64_t reserved = 0, used = 0;
    check(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReservedMemCurrent, &reserved));
    check(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrUsedMemCurrent, &used));
    return {free + (reserved - used), total};
}

std::unique_ptr<DeviceModel> load_model(const std::string& folder, const std::string& compute_type, uint32_t index) {
    if (compute_type != "float16" && compute_type != "auto" && compute_type != "default")
        throw std::runtime_error(compute_type + " is not supported on a GPU; float16 is");
    if (index >= device_count()) throw std::runtime_error("there is no CUDA device " + std::to_string(index));
    const auto stream = std::make_shared<Stream>(static_cast<int>(index));
    keep_freed_memory(stream->device());
    check_device(*stream);
    // 8-bit weights become floats; those of 16 bits are the same before and after.
    const std::shared_ptr<const Model> on_host = halkspeech::load_model(folder, "float32");
    return std::make_unique<CudaModel>(std::make_shared<GpuModel>(*on_host, stream));
}

}  // namespace halkspeech::cuda
