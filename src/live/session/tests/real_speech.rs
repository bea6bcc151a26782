use super::*;
use crate::fetched_files::sample_pcm;

/// The turns and the pieces of audio in chunks, with an engine that does not answer.
fn run(pcm: &[f32], chunk: usize) -> (Vec<SessionEvent>, Vec<Vec<f32>>) {
    let mut session = Session::new(server_vad(Delay::XHigh));
    let mut cancelled = Vec::new();
    let mut pieces = Vec::new();
    for chunk in pcm.chunks(chunk) {
        session.push(chunk);
        while let Some(work) = session.next_work() {
            match work {
                Work::Piece(_, piece) => pieces.push(piece),
                Work::Cancel(id) => cancelled.push(id),
                Work::Partial(_, partial) => panic!("{partial:?}"),
            }
        }
    }
    pieces.retain(|piece| !cancelled.contains(&piece.id));
    let pcm = pieces.into_iter().map(|piece| piece.pcm.to_vec());
    (session.events().collect(), pcm.collect())
}

#[test]
fn turns_and_pieces_of_a_sentence_do_not_depend_on_the_chunks() {
    let mut pcm = vec![0.0; 8_000];
    pcm.extend(sample_pcm());
    pcm.extend(vec![0.0; 16_000]);
    let (events, pieces) = run(&pcm, 320);
    for chunk in [1_600, 80_000] {
        assert!(
            run(&pcm, chunk) == (events.clone(), pieces.clone()),
            "{chunk}"
        );
    }

    let mut edges = Vec::new();
    for event in &events {
        match event {
            SessionEvent::SpeechStarted { audio_start, .. } => edges.push(*audio_start),
            SessionEvent::SpeechStopped { audio_end, .. } => edges.push(*audio_end),
            _ => {}
        }
    }
    // The speaker makes pauses of half a second.
    assert_eq!(edges.len(), 2 * pieces.len(), "{edges:?}");
    assert!((2..=6).contains(&pieces.len()), "{edges:?}");
    assert!((ms(400)..ms(1_000)).contains(&edges[0]), "{edges:?}");
    assert!(
        (ms(11_300)..ms(12_300)).contains(&edges[edges.len() - 1]),
        "{edges:?}"
    );
    let total: usize = pieces.iter().map(Vec::len).sum();
    assert!((8 * 16_000..12 * 16_000).contains(&total), "{total}");
}

#[test]
fn noise_and_silence_are_no_turn() {
    let mut state = 1_u32;
    let noise = (0..160_000).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (f64::from(state) / 2_f64.powi(31) - 1.0) as f32 * 0.05
    });
    let pcm: Vec<f32> = noise.chain(vec![0.0; 160_000]).collect();
    assert_eq!(run(&pcm, 1_600), (Vec::new(), Vec::new()));
}
