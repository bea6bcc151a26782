//! What CTranslate2's exceptions mean.

use crate::engine::EngineError;

/// What errors say for want of memory: the CUDA runtime's, Thrust's, and that of cuBLAS.
const OUT_OF_MEMORY: [&str; 2] = ["out of memory", "CUBLAS_STATUS_ALLOC_FAILED"];

/// Why a model does not load.
pub fn load_error(error: impl std::fmt::Display) -> EngineError {
    EngineError::Load(error.to_string())
}

/// Why a batch failed, with want of memory told from the rest.
pub fn batch_error(error: impl std::fmt::Display) -> EngineError {
    let text = error.to_string();
    if OUT_OF_MEMORY.iter().any(|sign| text.contains(sign)) {
        EngineError::OutOfMemory(text)
    } else {
        EngineError::Batch(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn want_of_memory_is_told_from_other_failures() {
        let short = [
            "CUDA failed with error out of memory",
            "failed to generate: cuBLAS failed with status CUBLAS_STATUS_ALLOC_FAILED",
            "std::bad_alloc: cudaErrorMemoryAllocation: out of memory",
        ];
        for text in short {
            assert!(
                matches!(batch_error(text), EngineError::OutOfMemory(_)),
                "{text}"
            );
        }
        let other = "CUDA failed with error an illegal memory access was encountered";
        assert!(matches!(batch_error(other), EngineError::Batch(_)));
    }
}
