"""Writes the files next to the weights: the tokens, with special tokens at Whisper's ids, and two configurations.

The text tokens are the 256 bytes, as in every byte-level vocabulary, and artificial words. There are no merges: a
prompt is tokenized byte by byte.
"""
import json
import os

LANGUAGES = """en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta no th ur hr bg
lt la mi ml cy sk te fa lv bn sr az sl kn et mk br eu is hy ne mn bs kk sq sw gl mr pa si km sn yo so af oc ka be tg
sd gu am yi lo uz fo ht ps tk nn mt sa lb my bo tl mg as tt haw ln ha ba jw su yue""".split()
AFTER_LANGUAGES = ["translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps"]
TIMESTAMPS = 1501
BYTES = 256
# Bytes among the symbols that OpenAI suppresses.
SYMBOLS = '"#()*+/:;<=>@[\\]^_`{|}~'
# Number of OpenAI's other suppressed symbols, of several bytes; words are suppressed instead.
LONGER_SYMBOLS = 59
# A token that a text may not begin with, in addition to the end of text.
BLANK = 220


class Tokens:
    """The strings of all ids: text first, then special tokens."""

    def __init__(self, shape):
        # Multilingual vocabularies have an empty token before the end of text.
        end = 50257 if shape.is_multilingual else 50256
        languages = LANGUAGES if shape.tokens == 51866 else LANGUAGES[:-1]
        self.words = range(BYTES, 50256)
        self.texts = byte_letters() + [word(index) for index in self.words]
        self.texts += [""] * (end - len(self.texts))
        names = ["endoftext", "startoftranscript", *languages, *AFTER_LANGUAGES]
        self.specials = [f"<|{name}|>" for name in names]
        self.timestamps = [f"<|{index / 50:.2f}|>" for index in range(TIMESTAMPS)]
        self.all = self.texts + self.specials + self.timestamps
        self.end_of_text = end
        self.languages = range(end + 2, end + 2 + len(languages))
        assert len(self.all) == shape.tokens and len(set(self.all)) == shape.tokens


def byte_letters():
    """GPT-2's characters for bytes, in the order of their ids: printable Latin-1, then from U+0100 for the others."""
    printable = [*range(0x21, 0x7f), *range(0xa1, 0xad), *range(0xae, 0x100)]
    return [chr(code) for code in [*printable, *range(0x100, 0x100 + BYTES - len(printable))]]


def word(index):
    """A unique word for each number, after a space."""
    syllables = ""
    for _ in range(3):
        index, vowel = divmod(index, 5)
        index, consonant = divmod(index, 16)
        syllables = "bdfghjklmnprstvz"[consonant] + "aeiou"[vowel] + syllables
    return "Ġ" + syllables


def write(folder, shape):
    tokens = Tokens(shape)
    # The upper half of the decoder, up to ten heads.
    layers = range(shape.decoder_layers // 2, shape.decoder_layers)
    heads = [[layer, head] for head in range(shape.heads) for layer in layers][:10]
    first = tokens.end_of_text + 1
    controls = [first, *range(tokens.languages.stop, tokens.languages.stop + len(AFTER_LANGUAGES) - 1)]
    files = {
        "vocabulary.json": tokens.all,
        "tokenizer.json": tokenizer(tokens),
        "config.json": {
            "alignment_heads": sorted(heads),
            "lang_ids": list(tokens.languages),
            "suppress_ids": sorted(tokens.texts.index(symbol) for symbol in SYMBOLS)
                            + list(tokens.words[:LONGER_SYMBOLS]) + controls,
            "suppress_ids_begin": [BLANK, tokens.end_of_text],
        },
        "preprocessor_config.json": {
            "feature_extractor_type": "WhisperFeatureExtractor", "processor_class": "WhisperProcessor",
            "feature_size": shape.mels, "sampling_rate": 16000, "n_fft": 400, "hop_length": 160, "chunk_length": 30,
            "n_samples": 480000, "nb_max_frames": 3000, "padding_side": "right", "padding_value": 0.0,
            "return_attention_mask": False,
        },
    }
    for name, content in files.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            json.dump(content, file, ensure_ascii=False)
    return tokens


def tokenizer(tokens):
    """The tokenizer in the format of Hugging Face's `tokenizers`."""
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    added = [(token, True) for token in tokens.specials] + [(token, False) for token in tokens.timestamps]
    return {
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None, "pre_tokenizer": byte_level,
        "post_processor": None, "decoder": byte_level,
        "added_tokens": [
            {"id": id, "content": token, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
             "special": special} for id, (token, special) in enumerate(added, len(tokens.texts))],
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
            "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False,
            "vocab": {token: id for id, token in enumerate(tokens.texts)}, "merges": [],
        },
    }
