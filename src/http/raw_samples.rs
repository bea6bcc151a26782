//! Raw samples, which requests with `encode=false` send instead of a file.

use axum::body::Bytes;

/// Header of a WAV file of unknown length with 16-bit samples at 16 kHz on one channel; it is put before
/// raw samples.
const WAV_HEADER: &[u8; 44] = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x01\0\
    \x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data\xff\xff\xff\xff";

/// The WAV header to put before samples that begin with `start`; `None` if they are a WAV file after all,
/// which some clients send.
pub fn wav_header(start: &[u8]) -> Option<Bytes> {
    (!start.starts_with(b"RIFF")).then(|| Bytes::from_static(WAV_HEADER))
}
