#include "slots.h"

namespace halkspeech {

int32_t Slot::add_cell() {
    if (!use_.has_free()) {
        use_.reserve_block();
        blocks_.emplace_back(layers_ * cells_of_block * 2 * width_);
        use_.add_block();
    }
    return use_.take();
}

int64_t Slot::bytes() const {
    int64_t bytes = 0;
    for (const auto& block : blocks_) bytes += block.bytes();
    return bytes;
}

}  // namespace halkspeech
