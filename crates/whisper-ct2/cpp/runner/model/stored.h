// Variables as they are stored in a model's file, before CTranslate2's loader converts them.

#pragma once

#include <string>
#include <vector>

#include <ctranslate2/storage_view.h>

namespace halkspeech {

// Reads a variable of model.bin in `folder` (binary versions 4 and later). # Errors: the file has no such variable.
ctranslate2::StorageView stored_variable(const std::string& folder, const std::string& name);

}  // namespace halkspeech
