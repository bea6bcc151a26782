//! Decodes formats that the built-in decoders do not support in an `ffmpeg` process.
//!
//! The process has access to pipes only: no network and no files but an unlinked copy of its own input
//! (its `cache` protocol, which is needed to read MP4 files with a trailing index from a pipe). Its run
//! time, processor time, output and allocation size are limited. Its output is a WAV file, which states
//! the number of channels and is decoded by the built-in decoder.

use std::process::Command;

use super::{
    AudioError, Channels, DecodeContext, DecodeLimits, DecodedAudio, SAMPLE_RATE_HZ, Source,
};

mod cpu_time;
mod process;

/// Maximum size of one of ffmpeg's allocations; large enough for a 4K picture, which is not decoded.
const MAX_ALLOCATION_BYTES: &str = "67108864";

/// The permitted demuxers: containers and bit streams of recordings, as named in released versions of
/// ffmpeg. Excluded are raw formats without a signature, which accept any bytes (A-law to G.729),
/// playlists and scripts that open other files (`concat`, `hls`, `dash`), images, subtitles,
/// synthesizers and game formats.
const DEMUXERS: &str = "aac,ac3,act,adx,aea,aiff,amr,ape,asf,asf_o,ast,au,avi,avr,caf,codec2,dhav,\
    dsf,dts,dtshd,dv,eac3,epaf,flac,flv,gsm,hcom,iff,ircam,kux,live_flv,loas,matroska,mlp,mov,mp3,\
    mpc,mpc8,mpeg,mpegts,mxf,nistsphere,nsv,nut,ogg,oma,paf,qcp,rm,rpl,rso,sds,shn,sol,sox,spdif,\
    swf,tak,truehd,tta,voc,vqf,w64,wav,wsd,wtv,wv,wve,xwma";

/// If time stamps jump back, the audio continues at the end of the previous audio; `aresample` would trim
/// it from 0.1 s on. Recordings may be concatenated, and some files state the same time for all packets.
/// Variable 0 is the sum of all jumps, 1 the time stamp of this frame, 2 the end of the previous audio, 3
/// whether there is any.
const TIME_STAMPS: &str = "st(1,PTS+ld(0)); if(not(ld(3)+isnan(PTS)), st(2,PTS)+st(3,1)); \
    if(lt(ld(1),ld(2)-0.05/TB), st(0,ld(0)+ld(2)-ld(1))+st(1,ld(2))); \
    st(2,if(gt(ld(1),ld(2)+0.1/TB),ld(1),ld(2))+NB_SAMPLES/SR/TB); ld(1)";

/// Gaps of more than 0.1 s and the time before late audio become silence, as in a player.
const SILENCE: &str = "async=1:first_pts=0";

/// A decode by ffmpeg.
pub struct FfmpegJob<'a> {
    /// The recognised format, for errors.
    pub format_name: &'a str,
    /// Limits of the decode.
    pub limits: &'a DecodeLimits,
    /// How the channels are transcribed.
    pub channels: Channels,
    /// The request's side of the decode. The process is killed once the result is not wanted.
    pub context: DecodeContext<'a>,
    /// The length of the file; [`u64::MAX`] if unknown.
    pub file_bytes: u64,
}

/// Decodes `source` to 16 kHz PCM, like the built-in decoder.
///
/// # Errors
/// [`AudioError::NeedsFfmpeg`] if ffmpeg is not installed, [`AudioError::Undecodable`] if it finds no
/// audio or guesses the format; see [`AudioError`].
pub fn decode(source: Source, job: &FfmpegJob<'_>) -> Result<DecodedAudio, AudioError> {
    process::run(command(job.limits), source, job)
}

/// Of several audio tracks, ffmpeg selects the default track, or the first of those with the most
/// channels. `-map 0:a:0` would select the first regardless of its flag.
fn command(limits: &DecodeLimits) -> Command {
    let mut command = Command::new("ffmpeg");
    command
        // Warnings are needed to detect a guessed format.
        .args(["-nostdin", "-hide_banner", "-loglevel", "level+warning"])
        .args(["-max_alloc", MAX_ALLOCATION_BYTES, "-threads", "1"])
        .args(["-protocol_whitelist", "cache,pipe"])
        .args(["-format_whitelist", DEMUXERS])
        .args(["-read_ahead_limit", "-1"])
        // Makes times relative to the earliest packet of any stream. Without an offset, those of a
        // transport stream would be relative to the first audio packet.
        .args(["-itsoffset", "0.000001"])
        .args(["-i", "cache:pipe:0", "-vn", "-sn", "-dn", "-threads", "1"])
        .args([
            "-af",
            &format!("asetpts='{TIME_STAMPS}',aresample={SAMPLE_RATE_HZ}:{SILENCE}"),
        ])
        // A second more than the limit, so that longer audio is detected.
        .args([
            "-t",
            &format!("{:.3}", limits.max_duration.as_secs_f64() + 1.0),
        ])
        .args(["-c:a", "pcm_f32le", "-f", "wav", "pipe:1"]);
    command
}

#[cfg(test)]
mod needs_ffmpeg;
