"""Every parameter of a transcription through the OpenAI SDK: valid values, invalid ones, and combinations."""
import pytest

from sdk import INVALID, MODEL, arguments, client_of, raises_error
from speech import ENDING

# Parameters by their names: a valid value and an invalid one.
LONG = "a" * 70_000
FIRST = {
    # OpenAI's.
    "language": ("English", "klingon"), "languages": (["en", "eng"], ["en", "klingon"]), "prompt": ("Kennedy.", LONG),
    "keywords": (["Americans", "country"], ["a" * 201]), "temperature": (0, 1.5),
    "include": (["logprobs"], ["words"]), "timestamp_granularities": (["segment"], ["letter"]),
    "chunking_strategy": ("auto", "manual"),
    # Audio, hints and channels.
    "offset": (0.1, -1), "duration": (10.9, 0), "channels": ("split", "left"), "hotwords": ("Kennedy", LONG),
    # Search.
    "beam_size": (2, 0), "best_of": (3, 33), "seed": (7, -1), "patience": (1.5, 0), "length_penalty": (0.9, 11),
    "repetition_penalty": (1.05, 0), "no_repeat_ngram_size": (5, 225), "suppress_tokens": ([-1, 13], [51_864]),
    "without_timestamps": (False, "never"), "condition_on_previous_text": (True, 2),
    # Rejection of texts.
    "compression_ratio_threshold": (2.5, 101), "logprob_threshold": (-2, 1), "no_speech_threshold": (0.7, 2),
    "hallucination_silence_threshold": (2, -1),
    # Voice activity detection.
    "vad_filter": (True, "maybe"), "vad_threshold": (0.4, 2), "vad_min_speech_ms": (100, 60_001),
    "vad_min_silence_ms": (500, 0.5), "vad_max_speech_s": (20, 0), "vad_speech_pad_ms": (200, 10_001),
}
# Aliases, and OpenAI's object, instead of those above.
OTHER = {
    "initial_prompt": ("Kennedy.", LONG), "no_timestamps": (True, "never"), "logprob_thold": ("none", 1),
    "no_speech_thold": ("none", 2), "compression_ratio_threshold": ("none", -1), "vad": (True, "maybe"),
    "vad_min_speech_duration_ms": (100, -1), "vad_min_silence_duration_ms": (500, -1),
    "vad_max_speech_duration_s": (20, 604_801), "temperature": ([0, 0.4], [0, 2]),
    "chunking_strategy": ({"type": "server_vad", "threshold": 0.4, "prefix_padding_ms": 200,
                           "silence_duration_ms": 300}, {"type": "semantic_vad"}),
}
MEMBERS = {"threshold": (0.4, 2), "min_speech_duration_ms": (100, -1), "min_silence_duration_ms": (500, -1),
           "max_speech_duration_s": (20, 0), "speech_pad_ms": (200, 10_001)}
THIRD = {"log_prob_threshold": (-2, 1), "vad_filter": (False, 2), "channels": ("mix", "both"),
         "suppress_tokens": ("[]", "x"), **{f"vad_parameters[{name}]": values for name, values in MEMBERS.items()}}
# Parameters that are valid only with another response format.
OTHER_FORMATS = {"max_line_width": (20, 1_001), "max_line_count": (1, 0), "stream": (True, "maybe"),
                 "word_timestamps": (True, "maybe"), "vad_parameters": ({}, 3)}
SETS = {"many": FIRST, "other_names": OTHER, "third_set": THIRD}
INVALID_VALUES = [(f"{where}-{name}", name, value)
                  for where, fields in (SETS | {"other_formats": OTHER_FORMATS}).items()
                  for name, (_, value) in fields.items()]
# The first parameter of each is incompatible with the others, with the response format or with the model.
INCOMPATIBLE = [
    {"timestamp_granularities": ["word"]}, {"word_timestamps": True}, {"include": ["dropped"]},
    {"include": ["logprobs"], "response_format": "verbose_json"}, {"max_line_width": 20}, {"max_line_count": 1},
    {"stream": True, "response_format": "srt"}, {"stream": True, "channels": "split"},
    {"patience": 0.4, "beam_size": 1}, {"num_speakers": 2}, {"diarize": True}, {"speaker_labels": True},
    {"known_speaker_names": ["Ann"]}, {"known_speaker_references": ["data:audio/wav;base64,"]},
    {"num_speakers": 2, "max_speakers": 3, "response_format": "diarized_json"},
    {"min_speakers": 3, "max_speakers": 2, "response_format": "diarized_json"},
    {"languages": ["tr"]}, {"language": "tr"},  # The model is English-only.
]
ALONE = {
    "a_temperature_above_0": {"temperature": 0.2, "best_of": 2},
    "server_vad": {"chunking_strategy": {"type": "server_vad"}},
    "chunking_strategy_auto": {"chunking_strategy": "auto"},
    "no_timestamps_in_subtitles": {"response_format": "srt", "without_timestamps": True},
}


@pytest.fixture(scope="module")
def client(sdk_server):
    return client_of(sdk_server)


@pytest.fixture(scope="module")
def create(client):
    return client.audio.transcriptions.create


@pytest.mark.parametrize("fields", SETS)
def test_many_parameters_at_once(create, sample, fields):
    valid = {name: value for name, (value, _) in SETS[fields].items()}
    assert "your country" in create(file=sample, model=MODEL, **arguments(valid)).text


def test_vad_parameters_as_an_object(create, sample):
    fields = {"vad_parameters": {name: valid for name, (valid, _) in MEMBERS.items()}, "vad": True}
    assert "your country" in create(file=sample, model=MODEL, extra_body=fields).text


@pytest.mark.parametrize("fields", ALONE)
def test_parameters_alone(create, sample, fields):
    answer = create(file=sample, model=MODEL, **arguments(ALONE[fields]))
    assert "your country" in getattr(answer, "text", answer)


def test_offset_and_duration_cut_and_keep_times(create, sample):
    answer = create(file=sample, model=MODEL, response_format="verbose_json",
                    extra_body={"offset": 7.5, "duration": 3.5})
    assert answer.segments[0].start >= 7.5, "times are those of the recording"
    assert ENDING in answer.text
    assert "fellow" not in answer.text


@pytest.mark.parametrize(("name", "value"), [one[1:] for one in INVALID_VALUES], ids=[one[0] for one in INVALID_VALUES])
def test_the_error_for_an_invalid_value_names_the_parameter(create, sample, name, value):
    param = f"{name}[type]" if isinstance(value, dict) else name
    with raises_error(*INVALID, param, f"'{param}'"):
        create(file=sample, model=MODEL, **arguments({name: value}))


@pytest.mark.parametrize("name", ["threshold", "prefix_padding_ms", "silence_duration_ms"])
def test_an_invalid_member_of_chunking_strategy_is_refused(create, sample, name):
    with raises_error(*INVALID, f"chunking_strategy[{name}]", "-1"):
        create(file=sample, model=MODEL, chunking_strategy={"type": "server_vad", name: -1})


@pytest.mark.parametrize("fields", INCOMPATIBLE, ids="-".join)
def test_incompatible_parameters_are_refused(create, sample, fields):
    name = next(iter(fields))
    # The message quotes the parameter, some with their value: 'include=logprobs'.
    with raises_error(*INVALID, name, f"'{name}"):
        create(file=sample, model=MODEL, **arguments(fields))


def test_diarized_json_of_a_translation_is_refused(client, sample):
    with raises_error(*INVALID, "response_format", "diarized_json"):
        client.audio.translations.create(file=sample, model=MODEL, response_format="diarized_json",
                                         extra_body={"channels": "split"})
