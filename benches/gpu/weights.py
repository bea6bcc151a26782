"""The variables of a Whisper model of any shape: random, except for a clock that ends every text at a fixed length.

The clock uses two coordinates of the decoder's width. No layer reads or writes them: the norms before the layers
multiply them by zero, and the rows that would write them are zero.

- `CLOCK` is non-zero only in the position encodings: negative before the position that generates the end of text,
  positive from there on. The end-of-text row of the tied projection has only this coordinate, so its logit is far below
  all others before that position and far above them from there on, in a greedy search and with any number of beams.
- `BIAS` is 1 after the last norm. Every token that is not a word has a row with only this coordinate, far below zero:
  texts consist of words, without time stamps, languages and partial characters.
"""
import random

from ct2_file import Variable
from pool import FLOAT16, FLOAT32, INT8, INT16, Pool

FRAMES, POSITIONS = 1500, 448
DEVIATION = 0.02
# Larger than the layers' outputs, which are similar in all positions and would select the same word everywhere.
POSITION_DEVIATION = 1.0
CLOCK, BIAS = -2, -1
# Small compared with the layers' outputs, so that the first norm does not suppress these; END_ROW compensates for it.
CLOCK_STEP = 2.0
END_ROW, OTHER_ROW = 100.0, -10.0


class Weights:
    """`dtype` is float16, float32, or int8 (matrices; other variables are 32-bit floats)."""

    def __init__(self, shape, tokens, dtype, seed):
        self.shape, self.tokens, self.seed = shape, tokens, seed
        self.other_format = FLOAT16 if dtype == "float16" else FLOAT32
        longest = 4 * shape.width
        self.numbers = Pool(self.other_format, DEVIATION, longest, seed)
        self.matrix_numbers = Pool(INT8, DEVIATION, longest, seed + 1) if dtype == "int8" else self.numbers
        self.variables = []

    def all(self, text_tokens):
        """All variables, sorted by name, and the aliases; a text has `text_tokens` tokens after the default prompt."""
        width = self.shape.width
        self._scalars()
        self._plain("encoder/conv1/weight", (width, self.shape.mels, 3))
        self._plain("encoder/conv2/weight", (width, width, 3))
        for convolution in (1, 2):
            self._vector(f"encoder/conv{convolution}/bias", [0.0] * width)
        self._plain("encoder/position_encodings/encodings", (FRAMES, width))
        for layer in range(self.shape.encoder_layers):
            prefix = f"encoder/layer_{layer}"
            self._attention(f"{prefix}/self_attention", {"linear_0": 3, "linear_1": 1}, [1.0] * width, "")
            self._feed_forward(f"{prefix}/ffn", [1.0] * width, kept=0)
        self._norm("encoder/layer_norm", [1.0] * width)
        self._decoder(text_tokens)
        aliases = [(variable.name.replace("embeddings", "projection"), variable.name)
                   for variable in self.variables if variable.name.startswith("decoder/embeddings/")]
        return sorted(self.variables), aliases

    def _decoder(self, text_tokens):
        width = self.shape.width
        unread = [1.0] * (width - 2) + [0.0, 0.0]
        for layer in range(self.shape.decoder_layers):
            prefix = f"decoder/layer_{layer}"
            self._attention(f"{prefix}/self_attention", {"linear_0": 3, "linear_1": 1}, unread, "linear_1")
            self._attention(f"{prefix}/attention", {"linear_0": 1, "linear_1": 2, "linear_2": 1}, unread, "linear_2")
            self._feed_forward(f"{prefix}/ffn", unread, kept=2)
        self._norm("decoder/layer_norm", [1.0] * (width - 1) + [0.0], beta=[0.0] * (width - 1) + [1.0])
        # The start, the language, the task and "no timestamps"; English-only models have no language and task.
        prompt = 4 if self.shape.is_multilingual else 2
        end = prompt - 1 + text_tokens
        draw = random.Random(self.seed + 2).gauss
        self._add("decoder/position_encodings/encodings", (POSITIONS, width), self.other_format, lambda: (
            self.other_format.pack([draw(0, POSITION_DEVIATION) for _ in range(width - 2)]
                           + [CLOCK_STEP if position >= end else -CLOCK_STEP, 0.0])
            for position in range(POSITIONS)))
        self._embeddings()

    def _embeddings(self):
        width, numbers = self.shape.width, self.matrix_numbers
        quantized = numbers.format is INT8
        scales = {CLOCK: 127 / END_ROW, BIAS: -127 / OTHER_ROW}

        def alone(coordinate, number):
            row = [0] * width
            row[coordinate] = round(number * scales[coordinate]) if quantized else number
            return numbers.format.pack(row)

        end, other, nothing = alone(CLOCK, END_ROW), alone(BIAS, OTHER_ROW), numbers.format.pack([0, 0])
        kinds = [None if token in self.tokens.words else CLOCK if token == self.tokens.end_of_text else BIAS
                 for token in range(self.shape.tokens)]
        rows = {CLOCK: lambda: end, BIAS: lambda: other, None: lambda: numbers.take(width - 2) + nothing}
        self._add("decoder/embeddings/weight", (len(kinds), width), numbers.format,
                  lambda: (rows[kind]() for kind in kinds))
        if quantized:
            self._vector("decoder/embeddings/weight_scale", [scales.get(kind, numbers.scale) for kind in kinds])

    def _scalars(self):
        small = {"activation": 3, "alibi": 0, "alibi_use_positive_positions": 0, "pre_norm": 1, "scale_alibi": 0,
                 "scale_embeddings": 0, "start_from_zero_embedding": 0}
        for name, number in small.items():
            self._add(f"decoder/{name}", (), INT8, lambda number=number: [INT8.pack([number])])
        heads = {"encoder/num_heads": self.shape.heads, "decoder/num_heads": self.shape.heads,
                 "decoder/alignment_heads": 1, "decoder/alignment_layer": -1}
        for name, number in heads.items():
            self._add(name, (), INT16, lambda number=number: [INT16.pack([number])])

    def _attention(self, prefix, widths, gamma, last):
        """`widths` has each matrix's output size in multiples of the width; matrix `last` does not write the clock."""
        self._norm(f"{prefix}/layer_norm", gamma)
        for name, times in widths.items():
            self._linear(f"{prefix}/{name}", times * self.shape.width, self.shape.width, 2 if name == last else 0)

    def _feed_forward(self, prefix, gamma, kept):
        self._norm(f"{prefix}/layer_norm", gamma)
        self._linear(f"{prefix}/linear_0", 4 * self.shape.width, self.shape.width, 0)
        self._linear(f"{prefix}/linear_1", self.shape.width, 4 * self.shape.width, kept)

    def _linear(self, prefix, rows, columns, kept):
        """The last `kept` rows are zero."""
        numbers = self.matrix_numbers
        zero = bytes(columns * numbers.format.bytes)
        self._add(f"{prefix}/weight", (rows, columns), numbers.format,
                  lambda: (numbers.take(columns) if row < rows - kept else zero for row in range(rows)))
        if numbers.format is INT8:
            self._vector(f"{prefix}/weight_scale", [numbers.scale] * rows, FLOAT32)
        self._vector(f"{prefix}/bias", [0.0] * rows)

    def _norm(self, prefix, gamma, beta=None):
        self._vector(f"{prefix}/gamma", gamma)
        self._vector(f"{prefix}/beta", beta or [0.0] * len(gamma))

    def _plain(self, name, dimensions):
        first, *others = dimensions
        count = 1
        for size in others:
            count *= size
        self._add(name, dimensions, self.other_format, lambda: (self._row(count) for _ in range(first)))

    def _row(self, count):
        """A row may be longer than the longest slice of the pool."""
        longest = 4 * self.shape.width
        lengths = [longest] * (count // longest) + [count % longest]
        return b"".join(self.numbers.take(length) for length in lengths)

    def _vector(self, name, numbers, number_format=None):
        number_format = number_format or self.other_format
        self._add(name, (len(numbers),), number_format, lambda: [number_format.pack(numbers)])

    def _add(self, name, dimensions, number_format, content):
        self.variables.append(Variable(name, dimensions, number_format, content))
