//! Finds the AAC-LC core in the configuration of an HE-AAC stream.
//!
//! HE-AAC is AAC-LC with additional data for a second octave (SBR) and for stereo (PS). The core
//! suffices: 16 kHz PCM needs nothing above 8 kHz. If the configuration names the extensions first
//! (explicit hierarchical signalling), a decoder of the core needs a configuration of the core.

/// Audio object types of ISO/IEC 14496-3, table 1.17.
const AAC_LC: u32 = 2;
const SBR: u32 = 5;
const PS: u32 = 29;

/// The sampling frequency index that is followed by an explicit frequency.
const ESCAPE: u32 = 15;

/// Extracts the `AudioSpecificConfig` (ISO/IEC 14496-3, 1.6.2.1) of the core; `None` if the configuration
/// does not start with an extension, or its core is not AAC-LC.
pub fn core_config(config: &[u8]) -> Option<Box<[u8]>> {
    let mut bits = BitReader { config, at: 0 };
    let object_type = bits.take(5)?;
    if !matches!(object_type, SBR | PS) {
        return None;
    }
    let rate_index = bits.take(4)?;
    let rate_hz = match rate_index {
        ESCAPE => Some(bits.take(24)?),
        _ => None,
    };
    let channels = bits.take(4)?;
    if bits.take(4)? == ESCAPE {
        bits.take(24)?;
    }
    if bits.take(5)? != AAC_LC {
        return None;
    }
    // GASpecificConfig: frameLengthFlag, dependsOnCoreCoder, extensionFlag.
    let specific = bits.take(3)?;
    let mut core = BitWriter::default();
    core.write(AAC_LC, 5);
    core.write(rate_index, 4);
    if let Some(rate_hz) = rate_hz {
        core.write(rate_hz, 24);
    }
    core.write(channels, 4);
    core.write(specific, 3);
    Some(core.bytes())
}

/// Reads bits, most significant first.
struct BitReader<'a> {
    config: &'a [u8],
    at: usize,
}

impl BitReader<'_> {
    fn take(&mut self, count: usize) -> Option<u32> {
        (0..count).try_fold(0, |value, _| {
            let byte = self.config.get(self.at / 8)?;
            let bit = byte >> (7 - self.at % 8) & 1;
            self.at += 1;
            Some(value << 1 | u32::from(bit))
        })
    }
}

/// Writes bits, most significant first.
#[derive(Default)]
struct BitWriter {
    bits: u64,
    count: usize,
}

impl BitWriter {
    fn write(&mut self, value: u32, count: usize) {
        self.bits = self.bits << count | u64::from(value);
        self.count += count;
    }

    fn bytes(self) -> Box<[u8]> {
        let bytes = self.count.div_ceil(8);
        let aligned = self.bits << (bytes * 8 - self.count);
        aligned.to_be_bytes()[8 - bytes..].into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extracts_the_core_at_half_the_rate() {
        // SBR, 22,050 Hz, mono, extension at 44,100 Hz, core AAC-LC.
        assert_eq!(
            core_config(&[0x2b, 0x8a, 0x08, 0x00]).as_deref(),
            Some(&[0x13, 0x88][..])
        );
        // The same with PS.
        assert_eq!(
            core_config(&[0xeb, 0x8a, 0x08, 0x00]).as_deref(),
            Some(&[0x13, 0x88][..])
        );
    }

    #[test]
    fn ignores_other_configurations() {
        for config in [
            &[][..],
            &[0x2b],
            &[0x13, 0x88],
            &[0x13, 0x88, 0x56, 0xe5, 0xa0],
        ] {
            assert_eq!(core_config(config), None, "{config:x?}");
        }
    }
}
