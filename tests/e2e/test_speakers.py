"""Speakers told apart by their voices, through the OpenAI SDK's typed models: the sample, and it as a higher voice."""
import base64
import io
import urllib.request
import wave

import pytest
from openai.types.audio import (
    TranscriptionDiarized,
    TranscriptionTextDeltaEvent,
    TranscriptionTextDoneEvent,
    TranscriptionTextSegmentEvent,
)
from openai.types.realtime import ConversationItemInputAudioTranscriptionSegment

import needs
from sdk import INVALID, MODEL, assert_typed, client_of, raises_error

RATIO = 1.35  # of the two voices
SAMPLE_S = 11


@pytest.fixture(scope="module")
def server_url(module_server, models_dir):
    needs.existing(models_dir / "speaker-diarization", "speakers", "scripts/fetch_models.sh speaker-diarization")
    return module_server("speakers", WHISPER__MODEL=MODEL).url


@pytest.fixture(scope="module")
def client(server_url):
    return client_of(server_url)


@pytest.fixture(scope="module")
def voices(sample):
    """The samples of the two voices, 16 bits each."""
    with wave.open(str(sample)) as source:
        low = memoryview(source.readframes(source.getnframes())).cast("h")
    positions = (index * RATIO for index in range(int(len(low) / RATIO) - 1))
    high = [int(low[int(at)] + (low[int(at) + 1] - low[int(at)]) * (at % 1)) for at in positions]
    return low.tobytes(), b"".join(sample.to_bytes(2, "little", signed=True) for sample in high)


def wav(samples):
    file = io.BytesIO()
    with wave.open(file, "wb") as target:
        target.setnchannels(1)
        target.setsampwidth(2)
        target.setframerate(16_000)
        target.writeframes(samples)
    return file.getvalue()


def data_url(samples):
    return "data:audio/wav;base64," + base64.b64encode(wav(samples)).decode()


def seconds(samples, start, end):
    return samples[start * 32_000:end * 32_000]


@pytest.fixture(scope="module")
def dialogue(voices):
    """The low voice, the high one, the low one."""
    low, high = voices
    return {"file": ("dialogue.wav", wav(low + high + low)), "model": "gpt-4o-transcribe-diarize",
            "response_format": "diarized_json"}


@pytest.fixture(scope="module")
def known(voices):
    low, high = voices
    return {"known_speaker_names": ["agent", "Ayşe"],
            "known_speaker_references": [data_url(seconds(low, 0, 5)), data_url(seconds(high, 1, 6))]}


def expected_speaker(segment, names):
    middle = (segment.start + segment.end) / 2
    return names[SAMPLE_S < middle < SAMPLE_S + SAMPLE_S / RATIO]


def test_diarized_json_names_the_speakers(client, dialogue):
    answer = client.audio.transcriptions.create(**dialogue)
    assert_typed(answer, TranscriptionDiarized)
    assert {segment.speaker for segment in answer.segments} == {"A", "B"}
    for segment in answer.segments:
        assert_typed(segment, type(segment))
        assert segment.speaker == expected_speaker(segment, "AB"), segment
    assert " ".join(segment.text for segment in answer.segments) == answer.text
    assert client.audio.transcriptions.create(**dialogue) == answer, "the same every time"


def test_known_speakers_have_their_names(client, dialogue, known):
    answer = client.audio.transcriptions.create(**dialogue, **known)
    for segment in answer.segments:
        assert segment.speaker == expected_speaker(segment, known["known_speaker_names"]), segment
    assert {segment.speaker for segment in answer.segments} == {"agent", "Ayşe"}


def test_a_stream_has_the_text_first_and_its_speakers_last(client, dialogue, known):
    whole = client.audio.transcriptions.create(**dialogue, **known)
    events = list(client.audio.transcriptions.create(**dialogue, **known, stream=True))
    kinds = (TranscriptionTextDeltaEvent, TranscriptionTextSegmentEvent, TranscriptionTextDoneEvent)
    deltas, segments, done = ([event for event in events if type(event) is kind] for kind in kinds)
    assert [*deltas, *segments, *done] == events, "in this order"
    for delta in deltas:
        assert_typed(delta, TranscriptionTextDeltaEvent, {"logprobs"})
        assert delta.segment_id in {segment.id for segment in segments}
    for segment in segments:
        assert_typed(segment, TranscriptionTextSegmentEvent)
    assert [segment.to_dict() for segment in segments] == [segment.to_dict() for segment in whole.segments]
    assert "".join(delta.delta for delta in deltas) == done[0].text == whole.text
    assert (len(done), done[0].usage.type) == (1, "tokens")


def test_words_have_speakers(client, dialogue):
    answer = client.audio.transcriptions.create(**dialogue | {"response_format": "verbose_json"},
                                                timestamp_granularities=["word", "segment"],
                                                extra_body={"diarize": True})
    wrong = [word for word in answer.words if word.speaker != expected_speaker(word, "AB")]
    assert len(wrong) <= len(answer.words) // 20, wrong
    assert {segment.speaker for segment in answer.segments} == {"A", "B"}


@pytest.mark.parametrize(("wrong", "message"), [
    (lambda low: data_url(seconds(low, 0, 1)), "lasts 1.00 s"),
    (lambda low: data_url(low), "longer than 10 s"),
    (lambda low: data_url(bytes(96_000)), "no voice"),
    (lambda low: "data:audio/wav;base64,AAAA", "Invalid file format"),
    (lambda low: "https://example.org/voice.wav", "a data URL"),
    (lambda low: "data:audio/wav;base64,?", "a data URL"),
    (lambda low: "data:audio/wav;base64," + "A" * 1_398_200, "at most 1 MiB"),
], ids=["too_short", "too_long", "silence", "no_audio", "no_data_url", "no_base64", "too_large"])
def test_every_wrong_reference_has_its_error(client, dialogue, voices, wrong, message):
    with raises_error(*INVALID, "known_speaker_references", message):
        client.audio.transcriptions.create(**dialogue, known_speaker_names=["agent"],
                                           known_speaker_references=[wrong(voices[0])])


def test_another_number_of_references_is_refused(client, dialogue, known):
    one = known | {"known_speaker_references": known["known_speaker_references"][:1]}
    with raises_error(*INVALID, "known_speaker_references", "(got 1 and 2)"):
        client.audio.transcriptions.create(**dialogue, **one)


def test_a_live_turn_says_who_speaks(client, voices):
    low, high = voices
    session = {"type": "transcription", "include": ["speakers"], "audio": {"input": {
        "format": {"type": "audio/pcm", "rate": 16_000}, "turn_detection": None,
        "transcription": {"model": MODEL, "language": "en"}}}}
    turns = []
    with client.realtime.connect(model=MODEL, extra_query={"intent": "transcription"}) as connection:
        connection.session.update(session=session)
        for samples in (low, high, low):
            for at in range(0, len(samples), 320_000):
                audio = base64.b64encode(samples[at:at + 320_000]).decode()
                connection.input_audio_buffer.append(audio=audio)
            connection.input_audio_buffer.commit()
        segments = []
        for event in connection:
            assert event.type != "error", event
            if event.type.endswith(".segment"):
                segments.append(event)
            elif event.type.endswith(".completed"):
                turns.append((segments, event.transcript))
                segments = []
            if len(turns) == 3:
                break
    assert [{segment.speaker for segment in segments} for segments, _ in turns] == [{"A"}, {"B"}, {"A"}]
    end = 0
    for segments, transcript in turns:
        assert " ".join(segment.text for segment in segments) == transcript
        for segment in segments:
            assert_typed(segment, ConversationItemInputAudioTranscriptionSegment)
            assert end <= segment.start < segment.end
            end = segment.end


def test_rttm_has_the_speakers(server_url, dialogue):
    request = urllib.request.Request(f"{server_url}/v1/audio/diarization?response_format=rttm&num_speakers=2",
                                     dialogue["file"][1], {"Content-Type": "audio/wav"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    fields = [line.split(" ") for line in lines]
    assert all(len(line) == 10 and line[:3] == ["SPEAKER", "audio", "1"] for line in fields)
    assert {line[7] for line in fields} == {"SPEAKER_00", "SPEAKER_01"}
