# Leaves out of oneDNN's build what CTranslate2 does not call. `.cargo/config.toml` names this file to CMake.
#
# CTranslate2 uses oneDNN's matrix products and one float convolution with its reorders. oneDNN's own options
# (ONEDNN_ENABLE_PRIMITIVE) shrink the lists of implementations, but compile every source file all the same, which took
# three quarters of the time of a first build. So the files that no object needs any more are left out by name. A name
# that a later oneDNN does not have changes nothing; a needed file that is left out is a link error. The list was made
# by scripts/onednn_unused.py.
#
# A toolchain file is read for every CMake project and several times: other projects are left alone.

set(ONEDNN_ENABLE_WORKLOAD INFERENCE CACHE STRING "" FORCE)
set(ONEDNN_ENABLE_PRIMITIVE CONVOLUTION REORDER CACHE STRING "" FORCE)
set(ONEDNN_ENABLE_PRIMITIVE_CPU_ISA AVX512 CACHE STRING "" FORCE)

if(COMMAND _add_library)
  return()
endif()

# Folders below `src`, with all of their files.
set(ONEDNN_UNUSED_FOLDERS cpu/rnn cpu/ukernel cpu/x64/lrn cpu/x64/prelu cpu/x64/rnn cpu/x64/shuffle cpu/x64/ukernel)

# Files below `src`, without `.cpp`.
set(ONEDNN_UNUSED_FILES
  common/batch_normalization common/binary common/concat common/deconvolution common/dnnl_threadpool common/eltwise
  common/experimental common/gated_mlp_iface common/group_normalization common/layer_normalization common/lrn
  common/memory_debug common/pooling common/prelu common/reduction common/resampling common/rnn
  common/scratchpad_debug common/sdpa_test_iface common/shuffle common/softmax common/stream_profiler common/sum
  cpu/cpu_batch_normalization_utils cpu/gemm_inner_product cpu/gemm_inner_product_utils
  cpu/gemm_x8s8s32x_inner_product cpu/nchw_pooling cpu/ncsp_batch_normalization cpu/ncsp_group_normalization
  cpu/nhwc_pooling cpu/nspc_batch_normalization cpu/ref_batch_normalization cpu/ref_binary cpu/ref_deconvolution
  cpu/ref_eltwise cpu/ref_group_normalization cpu/ref_inner_product cpu/ref_inner_product_int8
  cpu/ref_layer_normalization cpu/ref_lrn cpu/ref_pooling cpu/ref_prelu cpu/ref_reduction cpu/ref_resampling
  cpu/ref_shuffle cpu/ref_softmax cpu/simple_layer_normalization cpu/simple_resampling cpu/verbose_profiler
  cpu/matmul/gemm_bf16_matmul cpu/matmul/gemm_f32_matmul cpu/matmul/gemm_x8s8s32x_matmul cpu/matmul/ref_grouped_gemm
  cpu/matmul/ref_matmul cpu/matmul/ref_matmul_int8 cpu/matmul/ref_sparse_matmul
  cpu/x64/gemm_bf16_inner_product cpu/x64/jit_avx512_core_amx_deconvolution cpu/x64/jit_avx512_core_resampling
  cpu/x64/jit_avx512_core_x8s8s32x_deconvolution cpu/x64/jit_avx512_sparse_decompress_kernel
  cpu/x64/jit_brgemm_conv_bwd cpu/x64/jit_brgemm_conv_bwd_copy_kernel cpu/x64/jit_brgemm_conv_bwd_strided
  cpu/x64/jit_brgemm_conv_bwd_trans_kernel cpu/x64/jit_brgemm_conv_bwd_utils cpu/x64/jit_brgemm_conv_bwd_w
  cpu/x64/jit_brgemm_deconv cpu/x64/jit_brgemm_primitive_conf cpu/x64/jit_gemm_inner_product_utils
  cpu/x64/jit_uni_batch_normalization cpu/x64/jit_uni_batch_normalization_s8 cpu/x64/jit_uni_binary
  cpu/x64/jit_uni_binary_kernel cpu/x64/jit_uni_deconv_zp_pad_str_kernel cpu/x64/jit_uni_eltwise
  cpu/x64/jit_uni_eltwise_int cpu/x64/jit_uni_group_normalization cpu/x64/jit_uni_i8i8_pooling
  cpu/x64/jit_uni_instance_normalization cpu/x64/jit_uni_layer_normalization cpu/x64/jit_uni_pool_kernel
  cpu/x64/jit_uni_pooling cpu/x64/jit_uni_reduction cpu/x64/jit_uni_reduction_kernel cpu/x64/jit_uni_resampling
  cpu/x64/jit_uni_resampling_kernel cpu/x64/jit_uni_softmax cpu/x64/jit_uni_tbb_batch_normalization
  cpu/x64/jit_uni_x8s8s32x_deconvolution cpu/x64/matmul_inner_product
  cpu/x64/matmul/brgemm_matmul cpu/x64/matmul/jit_brgemm_matmul_per_mn_comp cpu/x64/matmul/jit_brgemm_matmul_reduce
  cpu/x64/matmul/jit_uni_sparse_matmul)

# CMake's own command, without oneDNN's unused files.
function(add_library name)
  set(arguments ${ARGN})
  if(name MATCHES "^dnnl_(common|cpu|cpu_x64)$")
    string(REPLACE ";" "|" folders "${ONEDNN_UNUSED_FOLDERS}")
    list(FILTER arguments EXCLUDE REGEX "/src/(${folders})/[^/]+\\.cpp$")
    foreach(file IN LISTS ONEDNN_UNUSED_FILES)
      list(FILTER arguments EXCLUDE REGEX "/src/${file}\\.cpp$")
    endforeach()
  endif()
  _add_library(${name} ${arguments})
endfunction()
