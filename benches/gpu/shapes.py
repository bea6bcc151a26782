"""The shapes of Whisper models: their sizes, without weights."""
from dataclasses import dataclass

# Width, encoder layers, decoder layers, mel bins, tokens. The width of a head is 64 in all of them.
NAMED = {
    "tiny": (384, 4, 4, 80, 51865),
    "tiny.en": (384, 4, 4, 80, 51864),
    "base": (512, 6, 6, 80, 51865),
    "base.en": (512, 6, 6, 80, 51864),
    "small": (768, 12, 12, 80, 51865),
    "small.en": (768, 12, 12, 80, 51864),
    "medium": (1024, 24, 24, 80, 51865),
    "medium.en": (1024, 24, 24, 80, 51864),
    "large-v2": (1280, 32, 32, 80, 51865),
    "large-v3": (1280, 32, 32, 128, 51866),
    "large-v3-turbo": (1280, 32, 4, 128, 51866),
    "distil-large-v3": (1280, 32, 2, 128, 51866),
}
VOCABULARIES = (51864, 51865, 51866)


@dataclass(frozen=True)
class Shape:
    width: int
    heads: int
    encoder_layers: int
    decoder_layers: int
    mels: int
    tokens: int

    @property
    def is_multilingual(self):
        return self.tokens > VOCABULARIES[0]


def parse(text):
    """Parses a name, or the six comma-separated numbers of a `Shape`."""
    if text in NAMED:
        width, encoder_layers, decoder_layers, mels, tokens = NAMED[text]
        return Shape(width, width // 64, encoder_layers, decoder_layers, mels, tokens)
    try:
        shape = Shape(*(int(number) for number in text.split(",")))
    except (TypeError, ValueError):
        raise SystemExit(f"unknown shape {text!r}: give one of {', '.join(NAMED)}, or "
                         "width,heads,encoder layers,decoder layers,mels,tokens") from None
    if min(shape.encoder_layers, shape.decoder_layers, shape.heads) < 1 or shape.mels not in (80, 128):
        raise SystemExit("a shape has at least one layer and one head, and 80 or 128 mels")
    if shape.tokens not in VOCABULARIES:
        raise SystemExit(f"Whisper's vocabularies have {', '.join(map(str, VOCABULARIES))} tokens")
    if shape.width % shape.heads or shape.width < 8:
        raise SystemExit("the width is a multiple of the number of heads, and at least 8")
    return shape
