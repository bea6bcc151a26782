//! Computes the lengths of Vorbis packets (Vorbis I specification, 4).

/// A mode in the setup header: a flag, two types of 16 bits that are 0, and a mapping of 8 bits (4.2.4).
const MODE_BITS: usize = 1 + 16 + 16 + 8;
const MAX_MODES: usize = 64;

/// Computes the lengths of consecutive packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketLengths {
    /// Samples of a short and a long block.
    blocks: [u64; 2],
    /// For each mode, whether its blocks are long.
    modes: Vec<bool>,
    last_block: Option<u64>,
}

impl PacketLengths {
    /// Parses the concatenated headers, as in the decoder's configuration.
    pub fn parse_joined(headers: &[u8]) -> Option<Self> {
        const IDENTIFICATION_BYTES: usize = 30;
        let (identification, setup) = headers.split_at_checked(IDENTIFICATION_BYTES)?;
        Self::parse(identification, setup)
    }

    /// Parses the identification and setup headers.
    pub fn parse(identification: &[u8], setup: &[u8]) -> Option<Self> {
        let sizes = *identification.get(28)?;
        Some(Self {
            blocks: [1 << (sizes & 0xf), 1 << (sizes >> 4)],
            modes: modes(setup)?,
            last_block: None,
        })
    }

    /// Number of samples that the next packet decodes to; 0 for the first packet.
    pub fn next(&mut self, packet: &[u8]) -> u64 {
        let mode_bits = usize::BITS - (self.modes.len() - 1).leading_zeros();
        // The first bit is 0 for audio, 1 for headers.
        let mode = bits(packet, 1, mode_bits as usize);
        let is_long = mode.and_then(|mode| self.modes.get(mode));
        let Some(is_long) = is_long else {
            return 0;
        };
        let block = self.blocks[usize::from(*is_long)];
        let last = self.last_block.replace(block);
        last.map_or(0, |last| last / 4 + block / 4)
    }
}

/// Reads the modes backwards from the end of the setup header, where a set bit follows them. The longest
/// valid list is right: 33 bits of each mode are fixed.
fn modes(setup: &[u8]) -> Option<Vec<bool>> {
    let last = setup.iter().rposition(|byte| *byte != 0)?;
    let end = last * 8 + 7 - setup[last].leading_zeros() as usize;
    let mut found = None;
    for count in 1..=MAX_MODES {
        let Some(start) = end.checked_sub(count * MODE_BITS) else {
            break;
        };
        let types = bits(setup, start + 1, 32)?;
        let mapping = bits(setup, start + 33, 8)?;
        if types != 0 || mapping > 63 {
            break;
        }
        let stated = start.checked_sub(6).and_then(|at| bits(setup, at, 6));
        if stated == Some(count - 1) {
            found = Some((start, count));
        }
    }
    let (start, count) = found?;
    (0..count)
        .map(|mode| Some(bits(setup, start + mode * MODE_BITS, 1)? == 1))
        .collect()
}

/// Reads `count` bits, the lowest first.
fn bits(bytes: &[u8], start: usize, count: usize) -> Option<usize> {
    let mut value = 0;
    for index in 0..count {
        let at = start + index;
        let bit = bytes.get(at / 8)? >> (at % 8) & 1;
        value |= usize::from(bit) << index;
    }
    Some(value)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Writes pairs of a value and its width in bits.
    fn write(fields: &[(usize, usize)]) -> Vec<u8> {
        let bits: Vec<usize> = fields
            .iter()
            .flat_map(|(value, count)| (0..*count).map(move |bit| value >> bit & 1))
            .collect();
        bits.chunks(8)
            .map(|bits| {
                let bits = bits.iter().enumerate();
                bits.fold(0, |byte, (at, bit)| byte | (*bit as u8) << at)
            })
            .collect()
    }

    /// Both headers, with blocks of 256 and 2048 samples in modes 0 and 1.
    pub fn headers() -> (Vec<u8>, Vec<u8>) {
        let mode = |is_long, mapping| [(is_long, 1), (0, 32), (mapping, 8)];
        let modes = [mode(0, 0), mode(1, 1)].concat();
        let start = b"\x05vorbis".map(|byte| (usize::from(byte), 8));
        let setup = [&start[..], &[(1, 6)], &modes, &[(1, 1)]].concat();
        let mut identification = b"\x01vorbis".to_vec();
        identification.resize(30, 0);
        identification[28] = 0xb8;
        (identification, write(&setup))
    }

    #[test]
    fn a_packet_yields_a_quarter_of_each_of_two_blocks() {
        let (identification, setup) = headers();
        let mut lengths = PacketLengths::parse(&identification, &setup).unwrap();
        let found: Vec<u64> = [0, 2, 2, 0, 0, 1]
            .map(|packet| lengths.next(&[packet]))
            .to_vec();
        let (short, long) = (256 / 4, 2048 / 4);
        assert_eq!(
            found,
            [
                0,
                short + long,
                long + long,
                long + short,
                short + short,
                short + short
            ]
        );
        assert_eq!(lengths.next(&[]), 0);
    }

    #[test]
    fn refuses_damaged_headers() {
        assert_eq!(PacketLengths::parse(&[0; 30], b""), None);
        assert_eq!(PacketLengths::parse(&[0; 30], &[0; 100]), None);
        assert_eq!(PacketLengths::parse(&[0; 30], &[0xff; 100]), None);
        assert_eq!(PacketLengths::parse(&[0; 5], &[0xff; 100]), None);
    }
}
