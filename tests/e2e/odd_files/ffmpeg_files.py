"""Files made by ffmpeg: formats, containers and codecs, with rarely used options."""
from odd_files.generate import H264, VIDEO, case


def register_mp4():
    case("phone_aac_8k.3gp", "-c:a aac -ar 8000 -b:a 12k")
    case("phone_aac_stereo_44k.3gp", "-c:a aac -ar 44100 -ac 2 -b:a 64k")
    case("phone_aac.3g2", "-c:a aac -ar 16000")
    case("phone_video_rotated.mp4", f"{H264} -c:a aac -metadata:s:v rotate=90", f"{VIDEO} -i speech.wav")
    case("voice_opus_in.mp4", "-c:a libopus -b:a 24k")
    case("book_chapters.m4b", "-map 0:a -map_metadata 1 -c:a aac -f ipod", "-i speech.wav -i chapters.txt")
    case("book_chapters_cover.m4b", "-map 0:a -map 2:v -map_metadata 1 -c:a aac -c:v mjpeg -disposition:v attached_pic"
         " -f ipod", "-i speech.wav -i chapters.txt -i cover.jpg")
    for codec in ("alac", "flac -strict -2", "libmp3lame", "ac3", "eac3", "mp2", "dca -strict -2 -ar 48000",
                  "libvorbis", "truehd -strict -2 -ar 48000"):
        case(f"mp4_{codec.split()[0]}.mp4", f"-c:a {codec}")
    for codec in ("pcm_u8", "pcm_s8", "pcm_s16le", "pcm_s24le", "pcm_s32be", "pcm_s32le", "pcm_f32le", "pcm_f32be",
                  "pcm_f64be", "pcm_f64le", "pcm_alaw", "pcm_mulaw", "adpcm_ima_qt", "alac", "libmp3lame", "ac3",
                  "adpcm_ms", "adpcm_ima_wav"):
        case(f"mov_{codec}.mov", f"-c:a {codec}")
    case("mov_alac_24bit_96k_stereo.mov", "-c:a alac -sample_fmt s32p -ar 96000 -ac 2")
    case("m4a_alac_6_channels.m4a", "-c:a alac -af pan=6c|c2=c0 -ar 48000")
    case("m4a_alac_8k.m4a", "-c:a alac -ar 8000")
    for name, flags in {"keyframes": "frag_keyframe+empty_moov+default_base_moof",
        "dash": "dash -frag_duration 1000000",
                        "cmaf": "cmaf -frag_duration 500000", "single": "empty_moov -frag_duration 60000000",
                        "global_sidx": "dash+global_sidx -frag_duration 1000000",
                        "delay_moov": "delay_moov+frag_every_frame", "no_tfhd_offset":
                        "empty_moov+omit_tfhd_offset -frag_duration 700000", "separate": "separate_moof+empty_moov "
                        "-frag_duration 1000000", "faststart_hybrid": "frag_custom+empty_moov",
                        "skip_trailer": "skip_trailer+empty_moov -frag_duration 1000000"}.items():
        case(f"fragments_{name}.mp4", f"-c:a aac -movflags {flags}")
    for codec in ("libopus", "flac -strict -2", "alac", "libmp3lame", "ac3"):
        case(f"fragments_{codec.split()[0]}.mp4", f"-c:a {codec} -movflags empty_moov -frag_duration 1000000")
    case("fragments_with_video.mp4", f"{H264} -c:a aac -movflags frag_keyframe+empty_moov", f"{VIDEO} -i speech.wav")
    case("fragments_live.ismv", "-c:a aac -frag_duration 1000000")
    case("faststart.m4a", "-c:a aac -movflags faststart")
    case("no_edit_list.m4a", "-c:a aac -use_editlist 0")
    case("metadata_keys.m4a", "-c:a aac -movflags use_metadata_tags -metadata com.apple.quicktime.make=odd")
    case("timecode_track.mov", f"{H264} -c:a aac -timecode 01:00:00:00", f"{VIDEO} -i speech.wav")
    case("subtitles.mp4", f"-map 0 -map 1 -map 2 {H264} -c:a aac -c:s mov_text", f"{VIDEO} -i speech.wav -i lines.srt")
    case("late_audio_2s.mp4", f"{H264} -c:a aac", f"{VIDEO} -itsoffset 2 -i speech.wav")
    case("late_audio_2s_fragments.mp4", f"{H264} -c:a aac -movflags frag_keyframe+empty_moov",
         f"{VIDEO} -itsoffset 2 -i speech.wav")
    case("late_audio_alone_2s.m4a", "-c:a aac", "-itsoffset 2 -i speech.wav")
    case("early_audio_half_second.mp4", f"{H264} -c:a aac", f"-itsoffset 0.5 {VIDEO} -i speech.wav")
    case("audio_longer_than_video.mp4", f"{H264} -c:a aac", "-f lavfi -i testsrc=s=160x120:r=10:d=3 -i speech.wav")
    case("video_longer_than_audio.mp4", f"{H264} -c:a aac", "-f lavfi -i testsrc=s=160x120:r=10:d=20 -i speech.wav")
    case("two_tracks_second_silent.mp4", "-map 0 -map 1 -c:a aac",
        "-i speech.wav -f lavfi -i anullsrc=r=16000:cl=mono:d=11")
    case("two_tracks_first_disabled.mp4", "-map 1 -map 0 -c:a aac -disposition:a:0 0 -disposition:a:1 default",
         "-i speech.wav -f lavfi -i sine=300:d=11")
    case("two_audio_files_in.mov", "-map 0 -map 0 -c:a:0 pcm_s16le -c:a:1 aac")
    case("aac_6_channels_centre.m4a", "-af pan=5.1|FC=c0 -ar 48000 -c:a aac")
    case("aac_stereo_right_only.m4a", "-af pan=stereo|c1=c0 -c:a aac")
    case("aac_opposite_phase.m4a", "-af 'pan=stereo|c0=c0|c1=-1*c0' -c:a aac -aac_ms 0")
    for rate in (7350, 11025, 12000, 24000, 32000, 64000, 96000):
        case(f"aac_{rate}.m4a", f"-c:a aac -ar {rate}")
    case("one_second.m4a", "-t 1 -c:a aac", "-ss 0.3 -i speech.wav")
    case("one_second.mp3", "-t 1", "-ss 0.3 -i speech.wav")
    case("one_second.ogg", "-t 1 -c:a libopus", "-ss 0.3 -i speech.wav")
    case("one_second.webm", "-t 1 -c:a libopus", "-ss 0.3 -i speech.wav")
    case("one_second.flac", "-t 1", "-ss 0.3 -i speech.wav")
    case("one_second_vorbis.ogg", "-t 1 -c:a libvorbis", "-ss 0.3 -i speech.wav")
    case("silence_around.m4a", "-af adelay=5000,apad=pad_dur=6 -c:a aac")
    case("silence_around_dtx.ogg", "-af adelay=5000,apad=pad_dur=6 -c:a libopus -dtx 1 -application voip")
    case("silence_around.mp3", "-af adelay=5000,apad=pad_dur=6 -q:a 4")


def register_streams():
    for rate in (8000, 11025, 12000, 22050, 24000, 32000, 48000):
        case(f"mp3_{rate}.mp3", f"-ar {rate} -b:a {32 if rate < 30000 else 64}k")
    case("mp3_joint.mp3", "-ar 44100 -ac 2 -joint_stereo 1 -b:a 96k")
    case("mp3_plain_stereo.mp3", "-ar 44100 -ac 2 -joint_stereo 0 -b:a 128k")
    case("mp3_opposite_phase.mp3", "-af 'pan=stereo|c0=c0|c1=-1*c0' -ar 44100 -b:a 128k")
    case("mp3_right_only.mp3", "-af pan=stereo|c1=c0 -ar 44100 -b:a 128k")
    for quality in (0, 9):
        case(f"mp3_vbr_{quality}.mp3", f"-ar 44100 -q:a {quality}")
    case("mp3_abr.mp3", "-ar 44100 -abr 1 -b:a 56k")
    case("mp3_8kbit.mp3", "-ar 8000 -b:a 8k")
    case("mp3_320kbit_no_reservoir.mp3", "-ar 48000 -ac 2 -b:a 320k -reservoir 0")
    case("mp3_no_xing_cbr.mp3", "-write_xing 0 -id3v2_version 0 -b:a 64k")
    case("mp3_id3v23_and_v1.mp3", "-id3v2_version 3 -write_id3v1 1 -metadata title=odd")
    case("mp3_cover.mp3", "-map 0 -map 1 -c:v copy -id3v2_version 3", "-i speech.wav -i cover.jpg")
    case("mp3_cover_png_v24.mp3", "-map 0 -map 1 -c:v png -id3v2_version 4", "-i speech.wav -i cover.jpg")
    case("mp3_shine.mp3", "-c:a libshine -ar 44100 -ac 2 -b:a 128k")
    case("layer2.mp2", "-c:a mp2 -ar 44100 -b:a 128k")
    case("layer2_crc.mp2", "-c:a libtwolame -error_protection 1 -ar 44100 -b:a 128k")
    case("layer2_named.mp3", "-c:a mp2 -ar 24000 -b:a 64k -f mp2")
    for rate in (8000, 22050, 48000, 96000):
        case(f"adts_{rate}.aac", f"-c:a aac -ar {rate}")
    case("adts_main.aac", "-c:a aac -profile:a aac_main -strict -2")
    case("adts_ltp.aac", "-c:a aac -profile:a aac_ltp -strict -2")
    case("adts_mpeg2.aac", "-c:a aac -profile:a mpeg2_aac_low")
    case("adts_id3.aac", "-c:a aac -write_id3v2 1 -metadata title=odd")
    case("adts_ape.aac", "-c:a aac -write_apetag 1 -metadata title=odd")
    case("adts_6_channels.aac", "-af pan=5.1|FC=c0 -ar 48000 -c:a aac")
    case("adts_quad_pce.aac", "-af pan=quad|FL=c0|FR=c0 -ar 48000 -c:a aac")
    case("loas.latm", "-c:a aac -f latm")
    for codec in ("ac3", "eac3"):
        case(f"raw.{codec}", f"-c:a {codec}")
    case("raw.dts", "-c:a dca -strict -2 -ar 48000 -ac 2")
    case("raw.thd", "-c:a truehd -strict -2 -ar 48000 -f truehd")
    for rate in (4000, 8000, 22050, 48000, 96000, 192000):
        case(f"flac_{rate}.flac", f"-ar {rate}")
    case("flac_24bit_96k_stereo.flac", "-sample_fmt s32 -ar 96000 -ac 2")
    case("flac_6_channels_centre.flac", "-af pan=5.1|FC=c0 -ar 48000")
    case("flac_tiny_blocks.flac", "-frame_size 64")
    case("flac_big_blocks.flac", "-frame_size 65535 -compression_level 12")
    case("flac_cover.flac", "-map 0 -map 1 -c:v copy -disposition:v attached_pic", "-i speech.wav -i cover.jpg")
    case("flac_fixed_level_0.flac", "-compression_level 0")
    for suffix in ("wv", "tta", "spx", "voc", "sox", "ircam"):
        case(f"other.{suffix}", "-c:a libspeex" if suffix == "spx" else "")
    case("other_f32.wv", "-sample_fmt fltp -ac 2")
    case("other_gsm.gsm", "-c:a libgsm -ar 8000")
    case("other_u8.voc", "-c:a pcm_u8")


def register_ogg_and_matroska():
    for page in (20000, 60000, 20000000):
        case(f"opus_page_{page}us.ogg", f"-c:a libopus -page_duration {page}")
        case(f"vorbis_page_{page}us.ogg", f"-c:a libvorbis -page_duration {page}")
    for frame in (2.5, 5, 10, 40, 60, 120):
        case(f"opus_frame_{frame}ms.opus", f"-c:a libopus -frame_duration {frame}")
    case("opus_6_channels.opus", "-af pan=5.1|FC=c0 -ar 48000 -c:a libopus")
    case("opus_3_channels.opus", "-af 'pan=3.0|FC=c0' -ar 48000 -c:a libopus -mapping_family 1")
    case("opus_mapping_255.opus", "-af pan=quad|FL=c0 -ar 48000 -c:a libopus -mapping_family 255")
    case("opus_opposite_phase.opus", "-af 'pan=stereo|c0=c0|c1=-1*c0' -ar 48000 -c:a libopus -apply_phase_inv 0")
    case("opus_cbr_6k_narrow.opus", "-ar 8000 -c:a libopus -b:a 6k -vbr off")
    case("opus_cover.opus", "-c:a libopus -metadata METADATA_BLOCK_PICTURE=" + "A" * 60000)
    case("vorbis_8k.ogg", "-c:a libvorbis -ar 8000")
    case("vorbis_96k_stereo.ogg", "-c:a libvorbis -ar 96000 -ac 2 -q 6")
    case("vorbis_6_channels.ogg", "-af pan=5.1|FC=c0 -ar 48000 -c:a libvorbis")
    case("flac_24bit.oga", "-c:a flac -sample_fmt s32 -ar 48000")
    case("flac_page_20ms.oga", "-c:a flac -page_duration 20000")
    case("theora_and_vorbis.ogv", "-c:v libtheora -c:a libvorbis", f"{VIDEO} -i speech.wav")
    case("theora_and_late_opus.ogv", "-c:v libtheora -c:a libopus", f"{VIDEO} -itsoffset 2 -i speech.wav")
    case("two_tracks.ogg", "-map 0 -map 0 -c:a:0 libvorbis -c:a:1 libopus")
    case("late_2s.opus", "-c:a libopus", "-itsoffset 2 -i speech.wav")
    for codec in ("libopus", "libvorbis", "libmp3lame", "aac", "flac", "alac", "pcm_s16le", "pcm_s16be", "pcm_f32le",
                  "pcm_s24le", "pcm_u8", "pcm_alaw", "ac3", "eac3", "mp2", "tta", "wavpack", "wmav2",
                  "dca -strict -2 -ar 48000", "truehd -strict -2 -ar 48000"):
        case(f"matroska_{codec.split()[0]}.mkv", f"-c:a {codec}")
    for codec in ("libopus", "aac", "libmp3lame", "flac"):
        case(f"mka_clusters_60ms_{codec}.mka", f"-c:a {codec} -cluster_time_limit 60")
        case(f"mka_live_{codec}.mka", f"-c:a {codec} -live 1")
    case("mka_one_cluster.mka", "-c:a aac -cluster_time_limit 32000 -cluster_size_limit 100000000")
    case("mka_cues_first.mka", "-c:a aac -cues_to_front 1")
    case("mka_index_space.mka", "-c:a libvorbis -reserve_index_space 100000")
    case("mka_no_crc.mka", "-c:a libopus -write_crc32 0")
    case("webm_dash.webm", "-c:a libopus -dash 1 -dash_track_number 1")
    case("webm_live.webm", "-c:a libopus -live 1")
    case("webm_vp8_vorbis.webm", "-c:v libvpx -b:v 100k -cpu-used 8 -c:a libvorbis", f"{VIDEO} -i speech.wav")
    case("webm_late_2s.webm", "-c:v libvpx -b:v 100k -cpu-used 8 -c:a libopus", f"{VIDEO} -itsoffset 2 -i speech.wav")
    case("mkv_late_alone_2s.mka", "-c:a aac", "-itsoffset 2 -i speech.wav")
    case("mkv_attachment.mkv", "-c:a aac -attach cover.jpg -metadata:s:t mimetype=image/jpeg")
    case("mkv_subtitles.mkv", f"-map 0 -map 1 -map 2 {H264} -c:a libopus -c:s srt",
        f"{VIDEO} -i speech.wav -i lines.srt")
    case("mkv_chapters.mka", "-map 0 -map_metadata 1 -c:a flac", "-i speech.wav -i chapters.txt")
    case("mkv_two_tracks_forced.mka", "-map 1 -map 0 -c:a libopus -disposition:a:0 0 -disposition:a:1 default+forced",
         "-i speech.wav -f lavfi -i sine=300:d=11")
    case("mkv_far_clock.mka", "-c:a aac -copyts -output_ts_offset 90000 -avoid_negative_ts disabled")
    case("mkv_negative_clock.mka", "-c:a aac -copyts -output_ts_offset -0.3 -avoid_negative_ts disabled")
    case("mkv_remuxed_from_m4a.mka", "-c copy", "-i made/faststart.m4a")
    case("mkv_remuxed_from_adts.mka", "-c copy", "-i made/adts_48000.aac")
    case("m4a_remuxed_from_mkv.m4a", "-c copy", "-i made/matroska_aac.mkv")
    case("ogg_remuxed_from_webm.ogg", "-c copy", "-i made/one_second.webm")
    case("webm_remuxed_from_ogg.webm", "-c copy", "-i made/opus_frame_60ms.opus")
    case("webm_cut_by_copy.webm", "-c copy", "-ss 3.01 -i made/webm_dash.webm")
    case("m4a_cut_by_copy.m4a", "-c copy", "-ss 3.01 -i made/faststart.m4a")
    case("mp3_cut_by_copy.mp3", "-c copy", "-ss 3.01 -i made/mp3_joint.mp3")
    case("flac_cut_by_copy.flac", "-c copy", "-ss 3.01 -i made/flac_48000.flac")
    case("ogg_cut_by_copy.opus", "-c copy", "-ss 3.01 -i made/opus_frame_60ms.opus")
    case("vorbis_cut_by_copy.ogg", "-c copy", "-ss 3.01 -i made/vorbis_8k.ogg")


def register_samples():
    """Containers of plain samples, and those of video."""
    for codec in ("pcm_u8", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le", "pcm_alaw", "pcm_mulaw", "adpcm_ms",
                  "adpcm_ima_wav", "adpcm_yamaha", "adpcm_swf", "g722", "g726 -ar 8000", "libgsm_ms -ar 8000", "mp2",
                  "libmp3lame", "ac3", "wmav2", "aac", "dca -strict -2 -ar 48000", "g723_1 -ar 8000 -b:a 6300"):
        case(f"wav_{codec.split()[0]}.wav", f"-c:a {codec}")
    for codec in ("adpcm_ms", "adpcm_ima_wav"):
        case(f"wav_{codec}_stereo_44k.wav", f"-c:a {codec} -ar 44100 -ac 2")
    for rate in (4000, 7350, 11024, 96000, 192000, 384000):
        case(f"wav_{rate}.wav", f"-ar {rate}")
    case("wav_6_channels_rear_only.wav", "-af pan=5.1|BL=c0 -ar 48000")
    case("wav_8_channels_float.wav", "-af pan=7.1|FC=c0 -c:a pcm_f32le -ar 48000")
    case("wav_bext.wav", "-write_bext 1 -metadata description=odd -metadata originator=odd")
    case("wav_peak.wav", "-write_peak on -ac 2 -ar 48000")
    case("wav_rf64.wav", "-rf64 always")
    case("wav_rf64_24bit_bext.wav", "-rf64 always -c:a pcm_s24le -write_bext 1 -metadata description=odd")
    for codec in ("pcm_s16le", "pcm_s24le", "pcm_f32le", "pcm_mulaw", "adpcm_ima_wav", "libmp3lame"):
        case(f"w64_{codec}.w64", f"-c:a {codec}")
    case("wav_opposite_phase.wav", "-af 'pan=stereo|c0=c0|c1=-1*c0'")
    case("wav_quiet.wav", "-af volume=0.02")
    case("wav_clipped.wav", "-af volume=8")
    for codec in ("pcm_s8", "pcm_s16be", "pcm_s24be", "pcm_s32be", "pcm_f32be", "pcm_f64be", "pcm_alaw", "pcm_mulaw",
                  "adpcm_ima_qt", "pcm_s16le"):
        case(f"aiff_{codec}.aiff", f"-c:a {codec}")
    case("aiff_id3.aif", "-write_id3v2 1 -metadata title=odd")
    case("aiff_odd_rate_11127.aif", "-ar 11127")
    for codec in ("pcm_s8", "pcm_s16be", "pcm_s24be", "pcm_s32be", "pcm_f32be", "pcm_f64be", "pcm_alaw",
                  "g722 -ar 16000", "g726 -ar 8000", "adpcm_g726le -ar 8000"):
        case(f"au_{codec.split()[0]}.au", f"-c:a {codec}")
    case("au_long_note.au", "-metadata title=" + "odd" * 400)
    for codec in ("pcm_s8", "pcm_s16le", "pcm_s24be", "pcm_s32le", "pcm_f32be", "pcm_f64le", "pcm_alaw", "pcm_mulaw",
                  "alac", "libopus", "adpcm_ima_qt", "libmp3lame", "flac", "ac3", "mp2", "libgsm -ar 8000", "aac"):
        case(f"caf_{codec.split()[0]}.caf", f"-c:a {codec}")
    for codec in ("aac", "mp2", "libmp3lame", "ac3", "eac3", "libopus", "dca -strict -2 -ar 48000"):
        case(f"ts_{codec.split()[0]}.ts", f"-c:a {codec} -f mpegts")
    case("ts_latm.ts", "-c:a aac -mpegts_flags latm -f mpegts")
    case("ts_video.m2ts", f"{H264} -c:a aac -mpegts_m2ts_mode 1 -f mpegts", f"{VIDEO} -i speech.wav")
    case("ts_stuffed.ts", "-c:a mp2 -muxrate 1000000 -f mpegts")
    case("ts_late_2s.ts", f"{H264} -c:a aac -f mpegts", f"{VIDEO} -itsoffset 2 -i speech.wav")
    case("ts_far_clock.ts", "-c:a aac -output_ts_offset 40000 -f mpegts")
    for form, codec in (("vob", "ac3"), ("vob", "mp2"), ("vob", "pcm_dvd -ar 48000 -ac 2"), ("mpeg", "libmp3lame"),
                        ("svcd", "mp2 -ar 44100"), ("dvd", "ac3 -ar 48000")):
        case(f"ps_{form}_{codec.split()[0]}.{'vob' if form != 'mpeg' else 'mpg'}",
             f"-c:v mpeg2video -r 25 -c:a {codec} -f {form}", f"{VIDEO} -i speech.wav")
    for codec in ("aac", "libmp3lame -ar 44100", "libspeex", "nellymoser", "pcm_s16le -ar 44100", "pcm_alaw -ar 8000",
                  "adpcm_swf -ar 22050"):
        case(f"flv_{codec.split()[0]}.flv", f"-c:a {codec}")
    case("flv_video.flv", "-c:v flv -c:a libmp3lame -ar 44100", f"{VIDEO} -i speech.wav")
    case("flv.f4v", "-c:a aac")
    for codec in ("pcm_s16le", "libmp3lame", "ac3", "mp2", "adpcm_ms", "aac", "wmav2", "pcm_mulaw"):
        case(f"avi_{codec}.avi", f"-c:v mpeg4 -c:a {codec}", f"{VIDEO} -i speech.wav")
    case("avi_late_2s.avi", "-c:v mpeg4 -c:a libmp3lame", f"{VIDEO} -itsoffset 2 -i speech.wav")
    for codec in ("wmav1", "wmav2", "libmp3lame", "pcm_s16le", "aac"):
        case(f"asf_{codec}.wma", f"-c:a {codec} -f asf")
    case("asf_stream.asf", "-c:a wmav2 -f asf_stream")
    case("asf_video.wmv", "-c:v wmv2 -c:a wmav2", f"{VIDEO} -i speech.wav")
    case("other.nut", "-c:a libvorbis")
    case("other.mxf", "-c:v mpeg2video -r 25 -c:a pcm_s16le -ar 48000", f"{VIDEO} -i speech.wav")
    case("other.wtv", "-c:v mpeg2video -r 25 -c:a mp2", f"{VIDEO} -i speech.wav")
    case("other.rm", "-c:a ac3")
    case("other.dv", "-c:v dvvideo -s 720x576 -pix_fmt yuv420p -r 25 -c:a pcm_s16le -ar 48000 -ac 2",
         f"{VIDEO} -i speech.wav")
