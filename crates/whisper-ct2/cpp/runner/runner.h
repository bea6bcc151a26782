/* The runner of Whisper models: loads weights, encodes windows, writes tokens step by step and aligns them.
 *
 * A model is shared by any number of encoders and decoders; each of these belongs to one thread at a time. An encoding
 * may be used by any thread. A function returns HS_OK or a failure, whose message `hs_error` has until the next call on
 * this thread. Nothing throws. After a failure of `hs_step` the slots of its rows can only be closed. */

#ifndef HALKSPEECH_RUNNER_H
#define HALKSPEECH_RUNNER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hs_model hs_model;
typedef struct hs_encoder hs_encoder;
typedef struct hs_decoder hs_decoder;
typedef struct hs_encoding hs_encoding;

enum hs_status {
    HS_OK = 0,
    HS_FAILED = 1,
    HS_OUT_OF_MEMORY = 2,
    HS_INVALID = 3, /* an argument */
};

typedef struct {
    uint32_t mels;             /* of a frame */
    uint32_t max_frames;       /* of a window: 3,000 */
    uint32_t max_tokens;       /* positions of the decoder: 448 */
    uint32_t vocabulary;       /* tokens */
    uint32_t width, heads, encoder_layers, decoder_layers;
    uint32_t start_of_transcript, end_of_text, no_timestamps, no_speech;
    uint32_t languages;        /* 0 for a model of one language */
    uint64_t weight_bytes;     /* as they are packed */
    const char* compute_type;  /* "float32", "int8_float32"; of a GPU "float16" */
    const char* kernels;       /* name of the table of kernels */
    const uint32_t* language_tokens;
    uint32_t suppressed, suppressed_at_begin;
    const uint32_t* suppressed_tokens; /* of the model's configuration */
    const uint32_t* suppressed_at_begin_tokens;
} hs_model_info;

/* The message of this thread's last failure. */
const char* hs_error(void);

enum hs_device { HS_CPU = 0, HS_CUDA = 1 };

/* CUDA devices that this build can use; 0 without a driver. */
uint32_t hs_cuda_devices(void);

/* In bytes. Free memory includes what this process has allocated and does not use. */
typedef struct {
    uint64_t free, total;
} hs_device_memory;
int hs_cuda_memory(uint32_t index, hs_device_memory* memory);

/* Loads the model in a folder for a device, of HS_CUDA the one with this index. `compute_type` as CTranslate2 names it;
 * a GPU computes in 16-bit floats, "float16". */
int hs_model_load(
    const char* folder, const char* compute_type, uint32_t device, uint32_t index, hs_model** model
);
/* Valid as long as the model. */
int hs_model_describe(const hs_model* model, hs_model_info* info);
/* Encoders, decoders and encodings keep what they need of it. */
void hs_model_free(hs_model* model);

/* `threads` is the number of threads of a CPU that its calls use; results do not depend on it. */
int hs_encoder_new(const hs_model* model, uint32_t threads, hs_encoder** encoder);
void hs_encoder_set_threads(hs_encoder* encoder, uint32_t threads);
void hs_encoder_free(hs_encoder* encoder);

/* Log-mel features of a window, [mels, frames], at most `max_frames`. Of a shorter one the last frames are silence. */
typedef struct {
    const float* features;
    uint32_t frames;
} hs_window;

/* Makes `count` encodings, each for the caller to release; none after a failure. */
int hs_encode(hs_encoder* encoder, const hs_window* windows, size_t count, hs_encoding** encodings);
/* Encodings are counted. */
void hs_encoding_retain(hs_encoding* encoding);
void hs_encoding_release(hs_encoding* encoding);
/* Positions, and bytes of keys and values. */
uint32_t hs_encoding_positions(const hs_encoding* encoding);
uint64_t hs_encoding_bytes(const hs_encoding* encoding);

int hs_decoder_new(const hs_model* model, uint32_t threads, hs_decoder** decoder);
void hs_decoder_set_threads(hs_decoder* decoder, uint32_t threads);
void hs_decoder_free(hs_decoder* decoder);

/* The number of a set of tokens, for `hs_rule.banned_set`. */
int hs_register_banned(hs_decoder* decoder, const uint32_t* tokens, size_t count, uint32_t* set);

/* [count, languages]: the probabilities of the language tokens, in the order of `language_tokens`. */
int hs_detect_language(
    hs_decoder* decoder, const hs_encoding* const* encodings, size_t count, float* probabilities
);

/* Opens a slot, which keeps the encoding, with one hypothesis: all tokens of the prompt but its last, which is the
 * token of the first row. `no_speech_prob`, if it is not null, is the probability of that token behind
 * <|startoftranscript|>, which the prompt contains. */
int hs_open(
    hs_decoder* decoder, hs_encoding* encoding, const uint32_t* prompt, size_t count, uint64_t* slot,
    float* no_speech_prob
);
/* Frees all that the slot keeps. */
void hs_close(hs_decoder* decoder, uint64_t slot);

/* Half open. */
typedef struct {
    uint32_t begin, end;
} hs_range;

enum hs_pick { HS_BEST = 0, HS_DRAW = 1 };

#define HS_NO_SET UINT32_MAX

/* What is done with the logits behind a row, in this order: repetition penalty, bans, contest, log softmax, pick. */
typedef struct {
    float repetition_penalty;   /* of the previous tokens; 1 for none */
    const uint32_t* previous;
    size_t previous_count;
    uint32_t banned_set;        /* or HS_NO_SET */
    const hs_range* banned_ranges;
    size_t banned_range_count;
    const uint32_t* banned_tokens;
    size_t banned_token_count;
    /* The first time stamp, or 0: bans all tokens before it if it and those behind it together are likelier than the
     * likeliest of those. */
    uint32_t timestamp_contest;
    uint32_t pick;
    uint32_t k;                 /* HS_BEST: candidates at most; of equal ones the first in the vocabulary */
    /* HS_DRAW: the token with the largest log_prob * (1 / temperature) + noise (model/noise.h). */
    float temperature;
    uint64_t key;
} hs_rule;

typedef struct {
    uint64_t slot;
    uint32_t parent;  /* among this slot's rows of its step before; 0 in the first */
    uint32_t token;
    hs_rule rule;
} hs_row;

/* One step for any rows: each appends its token to its parent. Rows of a slot that is not among them wait. Candidates
 * of row i are written from `stride * i` on, the best first: k, or one that is drawn; fewer if fewer tokens are not
 * banned. `counts` gets their number for each row. */
int hs_step(
    hs_decoder* decoder, const hs_row* rows, size_t count, size_t stride, uint32_t* counts, uint32_t* tokens,
    float* log_probs
);

typedef struct {
    uint32_t token, position; /* number of the text token, position of the encoding (20 ms) */
} hs_alignment_step;

/* Aligns text tokens, that follow `start` and <|notimestamps|>, to the first `frames` of a window. Writes the
 * probability of each token, and the path, of at most count + 1 + frames / 2 steps; `path_length` has their number. */
int hs_align(
    hs_decoder* decoder, const hs_encoding* encoding, const uint32_t* start, size_t start_count, const uint32_t* tokens,
    size_t count, uint32_t frames, uint32_t median_filter_width, float* probabilities, hs_alignment_step* path,
    size_t* path_length
);

/* What a decoder keeps: slots and bytes of their self-attention. */
typedef struct {
    uint64_t slots, cells, bytes;
} hs_decoder_usage;
void hs_decoder_usage_of(const hs_decoder* decoder, hs_decoder_usage* usage);

#ifdef __cplusplus
}
#endif

#endif
