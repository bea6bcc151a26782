//! Converts CTranslate2's exceptions to engine errors.

use halkspeech_whisper::engine::EngineError;

/// Parts of out-of-memory messages: of the CUDA runtime, Thrust and cuBLAS.
const OUT_OF_MEMORY: [&str; 2] = ["out of memory", "CUBLAS_STATUS_ALLOC_FAILED"];

/// An error of running a batch; distinguishes out-of-memory errors from others.
pub fn batch_error(error: impl std::fmt::Display) -> EngineError {
    let text = error.to_string();
    if OUT_OF_MEMORY.iter().any(|part| text.contains(part)) {
        EngineError::OutOfMemory(text)
    } else {
        EngineError::Batch(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distinguishes_out_of_memory_from_other_errors() {
        let out_of_memory = [
            "CUDA failed with error out of memory",
            "failed to generate: cuBLAS failed with status CUBLAS_STATUS_ALLOC_FAILED",
            "std::bad_alloc: cudaErrorMemoryAllocation: out of memory",
        ];
        for text in out_of_memory {
            assert!(
                matches!(batch_error(text), EngineError::OutOfMemory(_)),
                "{text}"
            );
        }
        let other = "CUDA failed with error an illegal memory access was encountered";
        assert!(matches!(batch_error(other), EngineError::Batch(_)));
    }
}
