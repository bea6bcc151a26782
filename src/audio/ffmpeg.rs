//! Decodes the formats the native decoders lack in an `ffmpeg` process.
//!
//! The process sees pipes only: no network, no file but an unlinked scratch copy of its own input
//! (its `cache` protocol, without which MP4 files that end with their index cannot be read from a
//! pipe). Its time, its processor time, its output and the size of its single allocations are bounded. What it writes is
//! a WAV file, which says how many channels there are, and goes through the native decoder.

use std::process::Command;

use super::{AudioError, Channels, DecodeLimits, DecodedAudio, DecodeContext, SAMPLE_RATE_HZ, Source};

mod cpu_time;
mod process;

/// Bound on each of ffmpeg's allocations; a 4K picture, which it does not decode, would fit.
const MAX_ALLOCATION_BYTES: &str = "67108864";

/// The demuxers that may read an upload: containers and bit streams of recordings, as released
/// versions of ffmpeg name them. Left out are raw formats without a sign of their own, which fit any
/// bytes (of A-law to G.729), playlists and scripts that open other files (`concat`, `hls`, `dash`),
/// images, subtitles, synthesizers and the formats of games.
const DEMUXERS: &str = "aac,ac3,act,adx,aea,aiff,amr,ape,asf,asf_o,ast,au,avi,avr,caf,codec2,dhav,\
    dsf,dts,dtshd,dv,eac3,epaf,flac,flv,gsm,hcom,iff,ircam,kux,live_flv,loas,matroska,mlp,mov,mp3,\
    mpc,mpc8,mpeg,mpegts,mxf,nistsphere,nsv,nut,ogg,oma,paf,qcp,rm,rpl,rso,sds,shn,sol,sox,spdif,\
    swf,tak,truehd,tta,voc,vqf,w64,wav,wsd,wtv,wv,wve,xwma";

/// Where the clock jumps or falls back, the sound goes on where the sound before ends; `aresample`
/// would trim it from 0.1 s on. Recordings are put together with `cat`, and some files state the
/// same time for all packets. Variable 0 is the sum of all jumps, 1 the time stamp of this frame, 2
/// where the sound before ends, 3 whether there is any.
const TIME_STAMPS: &str = "st(1,PTS+ld(0)); if(not(ld(3)+isnan(PTS)), st(2,PTS)+st(3,1)); \
    if(lt(ld(1),ld(2)-0.05/TB), st(0,ld(0)+ld(2)-ld(1))+st(1,ld(2))); \
    st(2,if(gt(ld(1),ld(2)+0.1/TB),ld(1),ld(2))+NB_SAMPLES/SR/TB); ld(1)";

/// Where the clock has a hole of more than 0.1 s, and in front of audio that begins late, there is
/// silence, as in a player.
const SILENCE: &str = "async=1:first_pts=0";

/// What ffmpeg is to do with an upload.
pub struct FfmpegJob<'a> {
    /// The format, as far as it was recognised, for errors.
    pub format_name: &'a str,
    /// What it may cost.
    pub limits: &'a DecodeLimits,
    /// What becomes of the channels.
    pub channels: Channels,
    /// The request that the decode belongs to. The process is killed once its result is not wanted.
    pub context: DecodeContext<'a>,
    /// The length of the file; [`u64::MAX`] where it is not known.
    pub file_bytes: u64,
}

/// Decodes `source` to 16 kHz PCM, as the native decoder does.
///
/// # Errors
/// [`AudioError::NeedsFfmpeg`] where ffmpeg is not installed, [`AudioError::Undecodable`] where it
/// finds no audio or only guesses the format, otherwise see [`AudioError`].
pub fn decode(source: Source, job: &FfmpegJob<'_>) -> Result<DecodedAudio, AudioError> {
    process::run(command(job.limits), source, job)
}

/// Of several audio tracks ffmpeg takes the one that is flagged as default, else the first of those
/// with the most channels. `-map 0:a:0` would take the first whatever its flag.
fn command(limits: &DecodeLimits) -> Command {
    let mut command = Command::new("ffmpeg");
    command
        // Its warnings say when the format is a guess.
        .args(["-nostdin", "-hide_banner", "-loglevel", "level+warning"])
        .args(["-max_alloc", MAX_ALLOCATION_BYTES, "-threads", "1"])
        .args(["-protocol_whitelist", "cache,pipe"])
        .args(["-format_whitelist", DEMUXERS])
        .args(["-read_ahead_limit", "-1"])
        // Time counts from the earliest packet of any stream. Without an offset of its own, of a
        // transport stream it would count from the first packet of audio.
        .args(["-itsoffset", "0.000001"])
        .args(["-i", "cache:pipe:0", "-vn", "-sn", "-dn", "-threads", "1"])
        .args([
            "-af",
            &format!("asetpts='{TIME_STAMPS}',aresample={SAMPLE_RATE_HZ}:{SILENCE}"),
        ])
        // A second more than allowed, so that longer audio shows as such.
        .args([
            "-t",
            &format!("{:.3}", limits.max_duration.as_secs_f64() + 1.0),
        ])
        .args(["-c:a", "pcm_f32le", "-f", "wav", "pipe:1"]);
    command
}

#[cfg(test)]
mod tests;
