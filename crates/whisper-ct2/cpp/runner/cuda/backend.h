// NVIDIA GPUs behind the C interface.

#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "../backend.h"

namespace halkspeech::cuda {

// 0 without a driver.
uint32_t device_count();

hs_device_memory device_memory(uint32_t index);

// # Errors: what the GPU, the number format or the model has that is not supported, by name.
std::unique_ptr<DeviceModel> load_model(const std::string& folder, const std::string& compute_type, uint32_t index);

}  // namespace halkspeech::cuda
