//! The claim of a request on the memory of decoded audio, which returns the memory when it ends.

use halkspeech_audio::PcmClaim;

use crate::allocator;

/// Smallest claim whose pages are returned to the kernel at once: 17 minutes of audio.
///
/// The allocator keeps freed pages for ten seconds. Pages of several long recordings, one after the
/// other on different threads, could fill a container though each recording stayed within the budget.
const LARGE_BYTES: u64 = 64 << 20;

/// A claim; it must be dropped after the PCM that it stands for.
pub(super) struct PcmMemory(PcmClaim);

impl PcmMemory {
    pub(super) fn new(claim: PcmClaim) -> Self {
        Self(claim)
    }

    pub(super) fn claim(&self) -> &PcmClaim {
        &self.0
    }
}

impl Drop for PcmMemory {
    fn drop(&mut self) {
        if self.0.bytes() >= LARGE_BYTES {
            // Pages that another thread is using at this moment are left to the allocator.
            let _is_complete = allocator::release_unused_memory();
        }
    }
}
