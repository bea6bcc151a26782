// Layers of CTranslate2, done in fewer passes over memory. The linker puts these in the place of CTranslate2's
// (build.rs), which do what ours do not take. Compiled with access to private members.
//
// 1. `Dense` on packed 8-bit weights, where `only_has_avx2`: the integers of a product become floats in its registers,
//    bias, GELU and residual included. On 16-bit floats of a card bias and residual are, for many rows
//    (../cuda/dense.h).
// 2. `TransformerEncoderLayer` on floats of a processor, there too, and on 16-bit floats of a card: heads are read
//    where the projection wrote them, and scores are never written to memory (attention.h, ../cuda/flash_attention.h).

#include <omp.h>

#include <ctranslate2/layers/attention.h>
#include <ctranslate2/layers/common.h>
#include <ctranslate2/layers/transformer.h>

#include "../cuda/dense.h"
#include "../cuda/flash_attention.h"
#include "attention.h"
#include "avx2.h"
#include "int8.h"
#include "plain.h"

using ctranslate2::DataType;
using ctranslate2::Device;
using ctranslate2::dim_t;
using ctranslate2::Padder;
using ctranslate2::StorageView;
using ctranslate2::layers::Dense;
using ctranslate2::layers::MultiHeadAttention;
using ctranslate2::layers::TransformerEncoderLayer;
using ctranslate2::ops::ActivationType;
using halkspeech::is_float16_on_gpu;
using halkspeech::is_float32_on_cpu;
using halkspeech::only_has_avx2;

namespace {

bool is_for_us(const Dense& dense, const StorageView& input) {
    return only_has_avx2() && is_float32_on_cpu(input) && dense._packed_weight
        && dense._u8_shift_compensation != nullptr && dense._partial_weight.empty()
        && dense._qscale->size() == dense._weight.dim(0) && dense._quantize_op._round_before_cast
        && (dense._activation_type == nullptr || *dense._activation_type == ActivationType::GELU);
}

void dense_forward(const Dense& dense, const StorageView& input, StorageView& output, const StorageView* residual) {
    const dim_t n = dense._weight.dim(0);
    const dim_t k = dense._weight.dim(1);
    const dim_t m = input.size() / k;
    StorageView scales({m}, DataType::FLOAT32);
    ctranslate2::Shape shape = input.shape();
    shape.back() = n;
    output.resize(std::move(shape));
    halkspeech::multiply_with_epilogue(
        m, n, k, input.data<float>(), scales.data<float>(), dense._weight.data<int8_t>(),
        {
            dense._qscale->data<float>(), dense._bias == nullptr ? nullptr : dense._bias->data<float>(),
            dense._activation_type != nullptr, residual == nullptr ? nullptr : residual->data<float>(),
            output.data<float>(), n,
        }
    );
}

// It is the encoder that multiplies so many rows at once. The decoder's number differs from token to token, and each
// would be looked up anew.
constexpr dim_t min_rows_on_gpu = 4096;

bool dense_forward_on_gpu(
    const Dense& dense, const StorageView& input, StorageView& output, const StorageView* residual
) {
    const bool is_for_us = is_float16_on_gpu(input) && dense._weight.dtype() == DataType::FLOAT16
        && dense._partial_weight.empty() && dense._activation_type == nullptr
        && (dense._bias != nullptr || residual != nullptr);
    if (!is_for_us) return false;
    const dim_t n = dense._weight.dim(0);
    const dim_t k = dense._weight.dim(1);
    const dim_t m = input.size() / k;
    if (m < min_rows_on_gpu) return false;
    ctranslate2::Shape shape = input.shape();
    shape.back() = n;
    output.resize(std::move(shape));
    return halkspeech::dense_on_gpu(
        {m, n, k}, input.buffer(), dense._weight.buffer(), dense._bias == nullptr ? nullptr : dense._bias->buffer(),
        residual == nullptr ? nullptr : residual->buffer(), output.buffer()
    );
}

// The attention of a layer of Whisper's encoder, or null.
const MultiHeadAttention* attention_for_us(const TransformerEncoderLayer& layer, const StorageView& input) {
    const auto* attention = halkspeech::plain_attention(layer._self_attention.get());
    if (attention == nullptr || layer._input_layer_norm) return nullptr;
    const bool is_for_us = (only_has_avx2() && is_float32_on_cpu(input))
        || (is_float16_on_gpu(input) && halkspeech::has_flash_attention(attention->_d_head));
    return is_for_us ? attention : nullptr;
}

// `projected` is [batch, time, queries, keys and values of all heads], `context` [batch, time, heads].
void attend(const MultiHeadAttention& attention, const StorageView& projected, StorageView& context) {
    const dim_t batch = context.dim(0), time = context.dim(1), width = context.dim(2), heads = attention._num_heads;
    if (context.device() == Device::CUDA) {
        StorageView memory({batch, heads, time}, DataType::FLOAT32, Device::CUDA);
        const halkspeech::FlashShape shape = {batch, time, heads, attention._queries_scale};
        return halkspeech::flash_attention(shape, projected.buffer(), context.buffer(), memory.data<float>());
    }
    const halkspeech::SelfAttention shape = {
        time, attention._d_head, projected.dim(2), width, attention._queries_scale,
    };
    StorageView memory({omp_get_max_threads() * shape.workspace_size()}, DataType::FLOAT32);
    halkspeech::self_attention(
        batch, heads, shape, projected.data<float>(), context.data<float>(), memory.data<float>()
    );
}

void encoder_layer_forward(
    const TransformerEncoderLayer& layer, const MultiHeadAttention& attention, const StorageView& input,
    StorageView& output
) {
    const DataType type = input.dtype();
    const Device device = input.device();
    StorageView normed(type, device), projected(type, device), context(input.shape(), type, device);
    (*attention._layer_norm)(input, normed);
    attention._linear.front()(normed, projected);
    attend(attention, projected, context);

    StorageView& hidden = normed;
    attention._linear.back()(context, hidden, &input);
    layer._ff(hidden, output);
}

}  // namespace

extern "C" {

void __real__ZNK11ctranslate26layers5DenseclERKNS_11StorageViewERS2_PS3_(
    const Dense*, const StorageView&, StorageView&, const StorageView*
);
// void Dense::operator()(const StorageView&, StorageView&, const StorageView*) const
void __wrap__ZNK11ctranslate26layers5DenseclERKNS_11StorageViewERS2_PS3_(
    const Dense* dense, const StorageView& input, StorageView& output, const StorageView* residual
) {
    if (is_for_us(*dense, input)) return dense_forward(*dense, input, output, residual);
    if (dense_forward_on_gpu(*dense, input, output, residual)) return;
    __real__ZNK11ctranslate26layers5DenseclERKNS_11StorageViewERS2_PS3_(dense, input, output, residual);
}

void __real__ZNK11ctranslate26layers23TransformerEncoderLayerclERKNS_11StorageViewEPS3_RS2_PKNS_6PadderEPS2_(
    const TransformerEncoderLayer*, const StorageView&, const StorageView*, StorageView&, const Padder*, StorageView*
);
// void TransformerEncoderLayer::operator()(
//     const StorageView&, const StorageView*, StorageView&, const Padder*, StorageView*) const
void __wrap__ZNK11ctranslate26layers23TransformerEncoderLayerclERKNS_11StorageViewEPS3_RS2_PKNS_6PadderEPS2_(
    const TransformerEncoderLayer* layer, const StorageView& input, const StorageView* lengths, StorageView& output,
    const Padder* padder, StorageView* position_bias
) {
    const MultiHeadAttention* attention = attention_for_us(*layer, input);
    if (attention != nullptr && lengths == nullptr && padder == nullptr)
        return encoder_layer_forward(*layer, *attention, input, output);
    __real__ZNK11ctranslate26layers23TransformerEncoderLayerclERKNS_11StorageViewEPS3_RS2_PKNS_6PadderEPS2_(
        layer, input, lengths, output, padder, position_bias
    );
}

}  // extern "C"
