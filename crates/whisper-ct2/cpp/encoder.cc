// Whisper's encoder on less than 30 s. Behind the positions of the features stand those of the silence that would
// follow up to 30 s, one in `silence_stride`, the very last among them: the model knows by them that nothing follows,
// as it does where all of the silence is encoded, for a fraction of the work (docs/accuracy.md). The linker puts this
// in the place of CTranslate2's (build.rs). Compiled with access to private members.

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include <ctranslate2/layers/whisper.h>
#include <ctranslate2/ops/add.h>
#include <ctranslate2/ops/gather.h>

#include "cuda/decoder.h"

using ctranslate2::dim_t;
using ctranslate2::StorageView;
using ctranslate2::layers::WhisperEncoder;

namespace {

// As in `features/window_lengths.rs`.
constexpr dim_t silence_stride = 20;

// Rows of the encoder's input: from which row of the convolutions' output they are made, at which position.
struct Rows {
    std::vector<int32_t> from, positions;

    // For so many rows of a batch, whose last frames are silence, of `most` that the model takes.
    Rows(dim_t batch, dim_t time, dim_t most) {
        // The convolutions fill up with zeros, which are no silence; the last row sees them.
        const dim_t silence = std::max<dim_t>(time - 2, 0);
        for (dim_t i = 0; i < batch; ++i) {
            for (dim_t position = 0; position < time; ++position) add(std::min(position, silence), position);
            const dim_t first = time - 1 + silence_stride + (most - time) % silence_stride;
            for (dim_t position = first; position < most; position += silence_stride) add(silence, position);
        }
    }

    void add(dim_t row, dim_t position) {
        from.push_back(static_cast<int32_t>(row));
        positions.push_back(static_cast<int32_t>(position));
    }
};

void encode(WhisperEncoder& encoder, const StorageView& features, StorageView& output) {
    StorageView input(encoder.output_type(), features.device());
    encoder._conv1(features, input);
    encoder._conv2(input, output);
    encoder._transpose(output, input);

    const dim_t batch = input.dim(0);
    const Rows rows(batch, input.dim(1), encoder.max_output_time());
    const ctranslate2::Shape shape = {batch, static_cast<dim_t>(rows.from.size()) / batch};
    StorageView positions(encoder.output_type(), features.device());
    ctranslate2::ops::Gather(1, 1)(input, StorageView(shape, rows.from, features.device()), output);
    ctranslate2::ops::Gather(0)(
        encoder._position_embedding._encoding, StorageView(shape, rows.positions, features.device()), positions
    );
    ctranslate2::ops::Add()(output, positions, input);

    for (const auto& layer : encoder._layers) {
        (*layer)(input, nullptr, output);
        input = std::move(output);
    }
    encoder._output_norm(input, output);
}

}  // namespace

extern "C" {

void __real__ZN11ctranslate26layers14WhisperEncoderclERKNS_11StorageViewERS2_(
    WhisperEncoder*, const StorageView&, StorageView&
);
// void WhisperEncoder::operator()(const StorageView&, StorageView&)
void __wrap__ZN11ctranslate26layers14WhisperEncoderclERKNS_11StorageViewERS2_(
    WhisperEncoder* encoder, const StorageView& features, StorageView& output
) {
    // The memory of the last batch is the next one's.
    if (features.device() == ctranslate2::Device::CUDA) halkspeech::release_decoder_cache_on_gpu();
    const bool is_short = features.rank() == 3 && features.dim(0) > 0 && features.dim(1) == encoder->input_size()
        && features.dim(2) > 0 && features.dim(2) < encoder->max_input_time();
    if (is_short) return encode(*encoder, features, output);
    __real__ZN11ctranslate26layers14WhisperEncoderclERKNS_11StorageViewERS2_(encoder, features, output);
}

}  // extern "C"
