//! Bounds what the fragments of an MP4 file may claim.
//!
//! A track fragment run (`trun`, ISO/IEC 14496-12, 8.8.8) tells how many samples it has. Where it says
//! nothing about them one by one, symphonia counts up to that number without reading on, seconds for
//! each forged run of 20 bytes, and nothing can stop it. So the boxes are looked for in the bytes on
//! their way to it, wherever it may find them.

use std::io::{self, Read, Seek, SeekFrom};

use symphonia::core::io::MediaSource;

/// A box's size, its name, version and flags, and the number of samples.
const RUN_BYTES: usize = 16;
/// A sample takes a byte, and a reader may read a box more than once.
const MAX_READS: u64 = 4;

/// A file whose fragments have no more samples than it has bytes.
pub struct Bounded {
    file: Box<dyn MediaSource>,
    file_bytes: u64,
    samples_left: u64,
    /// The bytes before the next ones, fewer than a run takes.
    last: Vec<u8>,
}

impl Bounded {
    /// Bounds a file of this length.
    pub fn new(file: Box<dyn MediaSource>, file_bytes: u64) -> Self {
        Self {
            file,
            file_bytes,
            samples_left: file_bytes.saturating_mul(MAX_READS),
            last: Vec::new(),
        }
    }

    /// Takes the samples that these bytes claim from those that are left.
    fn allow(&mut self, bytes: &[u8]) -> io::Result<()> {
        let before = self.last.len();
        let ahead = bytes.len().min(RUN_BYTES - 1);
        self.last.extend(&bytes[..ahead]);
        let across = self.last.windows(RUN_BYTES).take(before);
        let claimed: u64 = across
            .chain(bytes.windows(RUN_BYTES))
            .filter_map(|run| samples_claimed(run, self.file_bytes))
            .sum();
        if bytes.len() > ahead {
            self.last = bytes[bytes.len() - ahead..].to_vec();
        }
        let surplus = self.last.len().saturating_sub(RUN_BYTES - 1);
        self.last.drain(..surplus);
        self.samples_left = self.samples_left.checked_sub(claimed).ok_or_else(|| {
            let message = "its fragments claim more samples than the file has bytes";
            io::Error::new(io::ErrorKind::InvalidData, message)
        })?;
        Ok(())
    }
}

/// The samples of a run that tells nothing about each of them; None where these bytes are none.
fn samples_claimed(bytes: &[u8], file_bytes: u64) -> Option<u64> {
    if bytes.get(4..8)? != b"trun" {
        return None;
    }
    let number = |at: usize| {
        let bytes = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_be_bytes(bytes))
    };
    let (size, flags, samples) = (number(0)?, number(8)?, number(12)?);
    // Duration, size, flags or time of each sample: their number is bounded by the file.
    let has_samples = flags & 0xf00 != 0;
    (!has_samples && u64::from(size) <= file_bytes).then_some(u64::from(samples))
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.allow(&buffer[..read])?;
        Ok(read)
    }
}

impl Seek for Bounded {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.last.clear();
        self.file.seek(to)
    }
}

impl MediaSource for Bounded {
    fn is_seekable(&self) -> bool {
        self.file.is_seekable()
    }

    fn byte_len(&self) -> Option<u64> {
        self.file.byte_len()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    const FLAGS_OF_EACH_SAMPLE: u32 = 0x400;

    fn run(flags: u32, samples: u32) -> Vec<u8> {
        let fields = [flags.to_be_bytes(), samples.to_be_bytes()].concat();
        [&[0, 0, 0, 16], b"trun", &fields[..]].concat()
    }

    /// Reads a file of a hundred bytes in pieces of this length.
    fn read(mut file: Vec<u8>, piece: usize) -> Result<usize, io::ErrorKind> {
        file.resize(100, 0);
        let mut bounded = Bounded::new(Box::new(Cursor::new(file)), 100);
        let mut buffer = vec![0; piece];
        let mut sum = 0;
        loop {
            match bounded.read(&mut buffer).map_err(|error| error.kind())? {
                0 => return Ok(sum),
                read => sum += read,
            }
        }
    }

    #[test]
    fn samples_are_counted_however_the_file_is_read() {
        for piece in 1..100 {
            let refused = Err(io::ErrorKind::InvalidData);
            for junk in [0, 1, 7] {
                let file = |runs: &[Vec<u8>]| [vec![0; junk], runs.concat()].concat();
                let two = file(&[run(0, 200), run(0, 200)]);
                assert_eq!(read(two, piece), Ok(100), "{piece} {junk}");
                let one = file(&[run(0, 401)]);
                assert_eq!(read(one, piece), refused, "{piece} {junk}");
                let two = file(&[run(0, 200), run(0, 201)]);
                assert_eq!(read(two, piece), refused, "{piece} {junk}");
                let bounded = file(&[run(FLAGS_OF_EACH_SAMPLE, u32::MAX)]);
                assert_eq!(read(bounded, piece), Ok(100), "{piece} {junk}");
            }
        }
    }

    #[test]
    fn what_lies_before_a_jump_is_no_part_of_what_comes_after() {
        let file = [&run(0, 1000)[..10], &[0; 10], &run(0, 1000)[10..]].concat();
        let mut bounded = Bounded::new(Box::new(Cursor::new(file)), 26);
        let mut piece = [0; 10];

        bounded.read_exact(&mut piece).unwrap();
        bounded.seek(SeekFrom::Start(20)).unwrap();

        assert!(bounded.read_exact(&mut piece[..6]).is_ok());
    }
}
