#include "step.h"

#include <algorithm>
#include <numeric>

namespace halkspeech {

std::vector<size_t> order_by_slot(const StepRows& step) {
    std::vector<size_t> order(step.count);
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
        return step.rows[a].slot < step.rows[b].slot;
    });
    return order;
}

}  // namespace halkspeech
