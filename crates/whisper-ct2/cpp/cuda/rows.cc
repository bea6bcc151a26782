// Layer norm and biases of 16-bit floats on a card. CTranslate2 reads them number by number. The linker puts these in
// the place of CTranslate2's (build.rs), which do what ours do not take. Compiled with access to private members.

#include "layer_norm.h"

#include <ctranslate2/ops/bias_add.h>
#include <ctranslate2/ops/layer_norm.h>

using ctranslate2::dim_t;
using ctranslate2::StorageView;
using ctranslate2::ops::ActivationType;
using ctranslate2::ops::BiasAdd;
using ctranslate2::ops::LayerNorm;
using halkspeech::BiasEpilogue;

extern "C" {

void __real__ZNK11ctranslate23ops9LayerNorm7computeILNS_6DeviceE1EN10half_float4halfEEEvPKNS_11StorageViewES8_RS7_llllRS6_(
    const LayerNorm*, const StorageView*, const StorageView*, const StorageView&, dim_t, dim_t, dim_t, dim_t,
    StorageView&
);
// void LayerNorm::compute<Device::CUDA, float16_t>(
//     const StorageView*, const StorageView*, const StorageView&, dim_t, dim_t, dim_t, dim_t, StorageView&) const
void __wrap__ZNK11ctranslate23ops9LayerNorm7computeILNS_6DeviceE1EN10half_float4halfEEEvPKNS_11StorageViewES8_RS7_llllRS6_(
    const LayerNorm* norm, const StorageView* beta, const StorageView* gamma, const StorageView& input, dim_t axis,
    dim_t outer, dim_t width, dim_t inner, StorageView& output
) {
    const bool is_for_us = beta != nullptr && gamma != nullptr && inner == 1 && outer > 0 && width % 8 == 0
        && width <= halkspeech::max_layer_norm_width;
    if (is_for_us) {
        return halkspeech::layer_norm(
            {outer, width}, input.buffer(), gamma->buffer(), beta->buffer(), norm->_epsilon, output.buffer()
        );
    }
    __real__ZNK11ctranslate23ops9LayerNorm7computeILNS_6DeviceE1EN10half_float4halfEEEvPKNS_11StorageViewES8_RS7_llllRS6_(
        norm, beta, gamma, input, axis, outer, width, inner, output
    );
}

void __real__ZNK11ctranslate23ops7BiasAdd7computeILNS_6DeviceE1EN10half_float4halfEEEvRKNS_11StorageViewES8_RS6_PS7_(
    const BiasAdd*, const StorageView&, const StorageView&, StorageView&, const StorageView*
);
// void BiasAdd::compute<Device::CUDA, float16_t>(
//     const StorageView&, const StorageView&, StorageView&, const StorageView*) const
void __wrap__ZNK11ctranslate23ops7BiasAdd7computeILNS_6DeviceE1EN10half_float4halfEEEvRKNS_11StorageViewES8_RS6_PS7_(
    const BiasAdd* add, const StorageView& value, const StorageView& bias, StorageView& output,
    const StorageView* residual
) {
    const ActivationType* activation = add->_activation_type;
    const dim_t width = bias.size();
    const bool is_last_axis = add->_axis == -1 || add->_axis == value.rank() - 1;
    const bool is_for_us = is_last_axis && value.size() > 0 && width % 8 == 0
        && (activation == nullptr || (*activation == ActivationType::GELU && residual == nullptr));
    if (is_for_us) {
        const BiasEpilogue epilogue = activation != nullptr ? BiasEpilogue::gelu
            : residual != nullptr ? BiasEpilogue::residual : BiasEpilogue::none;
        return halkspeech::add_bias(
            {value.size() / width, width}, value.buffer(), bias.buffer(), epilogue,
            residual == nullptr ? nullptr : residual->buffer(), output.buffer()
        );
    }
    __real__ZNK11ctranslate23ops7BiasAdd7computeILNS_6DeviceE1EN10half_float4halfEEEvRKNS_11StorageViewES8_RS6_PS7_(
        add, value, bias, output, residual
    );
}

}  // extern "C"
