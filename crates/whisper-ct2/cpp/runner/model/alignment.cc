#include "alignment.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <stdexcept>

#include "threads.h"

namespace halkspeech {

namespace {

// The attention of one head to the first `columns` positions, [rows, columns].
class Weights {
public:
    Weights(const AlignmentScores& scores, int64_t head, int64_t columns)
        : rows_(scores.rows), columns_(columns), values_(static_cast<size_t>(scores.rows * columns)) {
        for (int64_t i = 0; i < rows_; ++i) {
            const float* from = scores.values.data() + (head * scores.rows + i) * scores.positions;
            const float largest = *std::max_element(from, from + columns);
            float sum = 0;
            for (int64_t j = 0; j < columns; ++j) sum += at(i, j) = std::exp(from[j] - largest);
            for (int64_t j = 0; j < columns; ++j) at(i, j) /= sum;
        }
    }

    // Each position's weights of all rows get the mean 0 and the variance 1.
    void normalize() {
        for (int64_t j = 0; j < columns_; ++j) {
            float sum = 0, squares = 0;
            for (int64_t i = 0; i < rows_; ++i) {
                sum += at(i, j);
                squares += at(i, j) * at(i, j);
            }
            const float mean = sum / static_cast<float>(rows_);
            const float variance = std::max(squares / static_cast<float>(rows_) - mean * mean, 0.0f);
            const float factor = 1 / std::sqrt(variance);
            for (int64_t i = 0; i < rows_; ++i) at(i, j) = (at(i, j) - mean) * factor;
        }
    }

    // Adds the median of `width` neighbours, reflected at the ends, of each weight of rows from `first` on to `sums`.
    void add_medians(int64_t first, int64_t width, std::vector<float>& sums) const {
        const int64_t reach = width / 2;
        std::vector<float> window(static_cast<size_t>(2 * reach + 1));
        for (int64_t i = first; i < first + static_cast<int64_t>(sums.size()) / columns_; ++i) {
            for (int64_t j = 0; j < columns_; ++j) {
                float median = at(i, j);
                if (columns_ > reach) {
                    for (int64_t k = -reach; k <= reach; ++k) {
                        int64_t from = std::abs(j + k);
                        if (from >= columns_) from = columns_ - (from - columns_) - 2;
                        window[static_cast<size_t>(k + reach)] = at(i, from);
                    }
                    std::nth_element(window.begin(), window.begin() + reach, window.end());
                    median = window[static_cast<size_t>(reach)];
                }
                sums[static_cast<size_t>((i - first) * columns_ + j)] += median;
            }
        }
    }

private:
    float& at(int64_t i, int64_t j) { return values_[static_cast<size_t>(i * columns_ + j)]; }
    float at(int64_t i, int64_t j) const { return values_[static_cast<size_t>(i * columns_ + j)]; }

    int64_t rows_, columns_;
    std::vector<float> values_;
};

}  // namespace

std::vector<uint32_t> tokens_to_align(const Tokens& tokens, size_t alignment_heads, const AlignmentText& text) {
    if (alignment_heads == 0) throw std::invalid_argument("config.json names no alignment heads");
    if (text.median_filter_width < 1 || text.median_filter_width % 2 == 0)
        throw std::invalid_argument("the width of the median filter is not odd");
    std::vector<uint32_t> read = text.start;
    read.push_back(tokens.no_timestamps);
    read.insert(read.end(), text.tokens.begin(), text.tokens.end());
    read.push_back(tokens.end_of_text);
    return read;
}

std::vector<std::pair<int64_t, int64_t>> alignment_path(const AlignmentScores& scores, const AlignmentText& text) {
    // The second convolution halves the frames.
    const int64_t columns = std::min(text.frames / 2, scores.positions);
    if (columns == 0) return {};
    const auto rows = static_cast<int64_t>(text.tokens.size()) + 1;
    const auto heads = static_cast<int64_t>(scores.values.size()) / (scores.rows * scores.positions);
    std::vector<float> sums(static_cast<size_t>(rows * columns));
    for (int64_t head = 0; head < heads; ++head) {
        Weights weights(scores, head, columns);
        weights.normalize();
        weights.add_medians(static_cast<int64_t>(text.start.size()), text.median_filter_width, sums);
    }
    for (float& sum : sums) sum /= static_cast<float>(heads);
    return best_path(rows, columns, sums.data());
}

Alignment align(Decoder& decoder, std::shared_ptr<const Encoding> encoding, const AlignmentText& text) {
    const Model& model = decoder.model();
    const std::vector<uint32_t> read = tokens_to_align(model.tokens, model.alignment_heads.size(), text);
    Alignment alignment;
    alignment.probabilities.resize(text.tokens.size());
    const AlignmentScores scores = decoder.read(
        std::move(encoding), read, text.start.size(), text.tokens, alignment.probabilities.data()
    );
    alignment.path = alignment_path(scores, text);
    return alignment;
}

std::vector<std::pair<int64_t, int64_t>> best_path(int64_t rows, int64_t columns, const float* values) {
    enum Step : uint8_t { both, row, column };
    constexpr float infinity = std::numeric_limits<float>::infinity();
    const int64_t ld = columns + 1;
    std::vector<float> costs(static_cast<size_t>((rows + 1) * ld), infinity);
    std::vector<Step> steps(costs.size(), column);
    costs[0] = 0;
    for (int64_t j = 1; j <= columns; ++j) {
        for (int64_t i = 1; i <= rows; ++i) {
            const auto at = static_cast<size_t>(i * ld + j), above = static_cast<size_t>((i - 1) * ld + j);
            const float by_both = costs[above - 1], by_row = costs[above], by_column = costs[at - 1];
            Step step = column;
            float cost = by_column;
            if (by_both < by_row && by_both < by_column) {
                step = both;
                cost = by_both;
            } else if (by_row < by_both && by_row < by_column) {
                step = row;
                cost = by_row;
            }
            costs[at] = cost - values[(i - 1) * columns + j - 1];
            steps[at] = step;
        }
    }
    for (int64_t i = 0; i <= rows; ++i) steps[static_cast<size_t>(i * ld)] = row;
    for (int64_t j = 0; j <= columns; ++j) steps[static_cast<size_t>(j)] = column;
    std::vector<std::pair<int64_t, int64_t>> path;
    for (int64_t i = rows, j = columns; i > 0 || j > 0;) {
        path.emplace_back(i - 1, j - 1);
        const Step step = steps[static_cast<size_t>(i * ld + j)];
        if (step != column) --i;
        if (step != row) --j;
    }
    std::reverse(path.begin(), path.end());
    return path;
}

}  // namespace halkspeech
