//! Files that an earlier version decoded incorrectly: their texts and times are correct now.

const A: &str = "He was not an ill disposed young man.";
const B: &str = "Unless to be rather cold hearted and rather selfish is to be ill disposed.";
/// The transcript of [`B`] after three seconds, where "rather" is cut in two: base transcribes its second
/// half as another word, also from the audio that ffmpeg decodes.
const END_OF_B: &str = "The selfish is to be ill disposed.";

/// A file, its reference text, its duration and the start of its last word, in seconds.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    reference: &'static [&'static str],
    duration_s: f64,
    /// The last word begins here or later.
    last_word_s: f64,
}

const fn case(name: &'static str, reference: &'static [&'static str], duration_s: f64) -> Case {
    Case {
        name,
        reference,
        duration_s,
        last_word_s: 0.0,
    }
}

const fn late(case: Case, last_word_s: f64) -> Case {
    Case {
        last_word_s,
        ..case
    }
}

const CASES: [Case; 17] = [
    case("mp3_two_files_joined.mp3", &[A, B], 8.36),
    late(case("mp3_vbr_without_xing.mp3", &[B, A], 20.35), 18.0),
    case("mp3_xing_count_zero.mp3", &[A], 3.0),
    case("webm_two_recordings_joined.webm", &[A, B], 8.3),
    case("mkv_second_track_is_default.mka", &[B], 5.3),
    case("m4a_edit_list_cuts_first_3s.m4a", &[END_OF_B], 2.3),
    late(case("mp4_audio_begins_at_3s.mp4", &[A], 6.0), 4.5),
    late(case("webm_20s_hole_in_its_clock.webm", &[B], 25.3), 22.0),
    case("m4a_chapter_images_two_sample_entries.m4a", &[B], 5.44),
    case("mov_without_ftyp.mov", &[B], 5.44),
    case("mov_pcm_s24_big_endian.mov", &[B], 5.3),
    case("opus_comment_header_cut_short.ogg", &[B], 5.3),
    case("wav_sizes_zero.wav", &[B], 5.3),
    case("wav_list_chunk_odd.wav", &[B], 5.3),
    case("au_mu_law.au", &[B], 5.3),
    case("m4a_he_aac_explicit.m4a", &[B], 5.43),
    case("flac_stereo_opposite_phase.flac", &[B], 5.3),
];

mod needs_recordings {
    use std::fs;
    use std::path::PathBuf;

    use serde_json::Value;

    use super::super::server::Server;
    use super::super::speech::{recordings, word_errors, words};
    use super::CASES;

    /// The folder of these files, `failing` next to that of the recordings.
    fn regression_files() -> PathBuf {
        let folder = recordings().with_file_name("failing");
        assert!(folder.is_dir(), "{} is no folder", folder.display());
        folder
    }

    #[tokio::test]
    #[ignore = "needs recordings: set HALKSPEECH_RECORDINGS"]
    async fn regression_files_are_decoded_completely_and_without_ffmpeg() {
        let folder = regression_files();
        let server = Server::start(&[("WHISPER__MODEL", "base"), ("AUDIO__FFMPEG", "off")]);
        let query = [
            ("model", "base"),
            ("language", "en"),
            ("response_format", "verbose_json"),
            ("timestamp_granularities[]", "word"),
        ];
        for case in CASES {
            let audio = fs::read(folder.join(case.name)).unwrap();
            let answer = server.transcription(&query, audio).send().await.unwrap();
            let (status, body) = (answer.status(), answer.text().await.unwrap());
            assert_eq!(status, 200, "{}: {body}", case.name);
            let body: Value = serde_json::from_str(&body).unwrap();

            let text = body["text"].as_str().unwrap();
            let errors = word_errors(&case.reference.join(" "), text);
            // "Cold hearted" may be one word.
            assert!(errors <= 2, "{}: {text}", case.name);
            let duration_s = body["duration"].as_f64().unwrap();
            assert!(
                (duration_s - case.duration_s).abs() < 0.1,
                "{}: {duration_s}",
                case.name
            );
            let last = body["words"].as_array().unwrap().last().unwrap();
            assert!(
                last["start"].as_f64().unwrap() >= case.last_word_s,
                "{}: {last}",
                case.name
            );
        }
    }

    #[tokio::test]
    #[ignore = "needs recordings: set HALKSPEECH_RECORDINGS"]
    async fn a_single_word_is_not_repeated() {
        let folder = regression_files();
        let server = Server::with_model("base");
        let query = [("model", "base"), ("language", "tr")];
        for (name, word) in [
            ("tr_word_kirmizi.wav", "kırmızı"),
            ("tr_word_yardim.wav", "yardım"),
            ("tr_word_cikis.wav", "çıkış"),
            ("tr_word_yapilandirma.wav", "yapılandırma"),
            ("tr_word_yesil.wav", "yeşil"),
        ] {
            let text = server
                .text(&query, fs::read(folder.join(name)).unwrap())
                .await;
            assert_eq!(words(&text), words(word), "{name}");
        }
    }
}
