/* No input, in any order of calls, makes the C core misbehave; and what it accepts, it gets right.
 *
 * libFuzzer's bytes are read as a list of calls on one call's two streams. Sanitizers watch memory
 * and arithmetic; every buffer is exactly as large as asked for and starts at an odd place, so that
 * one byte too far is seen. Beyond that each call checks what must hold:
 *
 *      base64      accepted text is the one encoding of its bytes
 *      both ways   the result has the length that its input demands, and equals that of the samples
 *                  in one piece; a refused payload changes nothing
 *      mu-law      what was decoded encodes to itself (but -0, which becomes +0)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base64.c"
#include "frame.c"
#include "g711.c"
#include "pcm.c"
#include "resample.c"

#define MUST(what)                                                                                 \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "%s:%d: must hold: %s\n", __FILE__, __LINE__, #what);                  \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* ---- reading the fuzzer's bytes -------------------------------------------------------------- */

typedef struct {
    const uint8_t *at;
    size_t left;
} input;

static uint8_t next_byte(input *in)
{
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->at++;
}

/* A length, then that many bytes as far as there are any. */
static input next_piece(input *in)
{
    size_t n = next_byte(in);
    if (n >= 0xF0) /* now and then long ones */
        n = (n & 0x0F) << 8 | next_byte(in);
    if (n > in->left)
        n = in->left;
    input piece = {in->at, n};
    in->at += n;
    in->left -= n;
    return piece;
}

/* ---- exact buffers --------------------------------------------------------------------------- */

static frame_space space_of(size_t size, size_t shift)
{
    char *block = malloc(size + shift);
    MUST(block != NULL);
    return (frame_space){.buffer = block + shift, .size = size};
}

static void free_space(frame_space space, size_t shift) { free(space.buffer - shift); }

/* bytes as base64 without a terminating zero, in a block of its own. */
static char *text_of(input bytes, size_t *n)
{
    char *text = malloc(base64_length(bytes.left) + 1);
    MUST(text != NULL);
    *n = base64_encode(bytes.at, bytes.left, text);
    MUST(*n == base64_length(bytes.left));
    return text;
}

/* ---- one call's line, and the same in one piece ---------------------------------------------- */

typedef struct {
    frame_stream *stream;
    float *samples, *made; /* since the stream was new */
    size_t samples_n, made_n, room;
    uint8_t odd_byte;
    int has_odd_byte;
} side;

static void append(float **to, size_t *n, const float *from, size_t more)
{
    *to = realloc(*to, (*n + more + 1) * sizeof **to);
    MUST(*to != NULL);
    if (more > 0)
        memcpy(*to + *n, from, more * sizeof *from);
    *n += more;
}

static void forget(side *line) { line->samples_n = line->made_n = 0, line->has_odd_byte = 0; }

/* What a new stream makes of all samples since the last forget; the caller frees it. */
static float *in_one_piece(const side *line, int up, int flushed, size_t *n)
{
    size_t room = resample_bound(line->samples_n, up) + RESAMPLE_SLACK;
    float *out = malloc(room * sizeof *out);
    resampler *stream = resample_open(up);
    MUST(out != NULL && stream != NULL);
    ptrdiff_t made = resample_process(stream, line->samples, line->samples_n, out, room);
    MUST(made >= 0);
    *n = (size_t)made;
    if (flushed) {
        ptrdiff_t tail = resample_flush(stream, out + made, room - (size_t)made);
        MUST(tail >= 0);
        *n += (size_t)tail;
    }
    resample_close(stream);
    return out;
}

/* pcm, just made, is what follows line->made_n samples of the whole. */
static void check_made(side *line, int up, int flushed, const int16_t *pcm, size_t n)
{
    size_t whole_n;
    float *whole = in_one_piece(line, up, flushed, &whole_n);
    int16_t *rounded_whole = malloc(whole_n * sizeof *rounded_whole + 1);
    MUST(rounded_whole != NULL);
    pcm_from_float(whole, whole_n, rounded_whole);
    MUST(line->made_n + n == whole_n);
    if (up)
        MUST(memcmp(pcm, rounded_whole + line->made_n, 2 * n) == 0);
    else { /* pcm holds mu-law, decoded */
        uint8_t *codes = malloc(n + 1);
        int16_t *heard = malloc(2 * n + 1);
        MUST(codes != NULL && heard != NULL);
        ulaw_encode(rounded_whole + line->made_n, n, codes);
        ulaw_decode(codes, n, heard);
        MUST(memcmp(pcm, heard, 2 * n) == 0);
        free(codes);
        free(heard);
    }
    line->made_n += n;
    free(whole);
    free(rounded_whole);
}

static void check_mulaw(const uint8_t *mulaw, size_t n)
{
    int16_t *pcm = malloc(2 * n + 1);
    uint8_t *again = malloc(n + 1);
    MUST(pcm != NULL && again != NULL);
    ulaw_decode(mulaw, n, pcm);
    ulaw_encode(pcm, n, again);
    for (size_t i = 0; i < n; i++)
        MUST(again[i] == (mulaw[i] == 0x7F ? 0xFF : mulaw[i]));
    double level = ulaw_level_db(mulaw, n);
    MUST(level >= LEVEL_OF_SILENCE && level <= 0.0);
    free(pcm);
    free(again);
}

/* ---- the calls ------------------------------------------------------------------------------- */

/* Decodes into a block of exactly the promised size. Returns -1 if it is refused. */
static ptrdiff_t decoded(const char *text, size_t n, uint8_t **bytes)
{
    *bytes = malloc(base64_bound(n) > 0 ? base64_bound(n) : 1);
    MUST(*bytes != NULL);
    ptrdiff_t made = base64_decode(text, n, *bytes);
    if (made >= 0) {
        size_t again_n;
        char *again = text_of((input){*bytes, (size_t)made}, &again_n);
        MUST(again_n == n && memcmp(again, text, n) == 0);
        free(again);
    }
    return made;
}

static void hear_up(side *line, const uint8_t *mulaw, size_t n)
{
    int16_t *pcm = malloc(2 * n + 1);
    float *samples = malloc(4 * n + 1);
    MUST(pcm != NULL && samples != NULL);
    ulaw_decode(mulaw, n, pcm);
    pcm_to_float(pcm, n, samples);
    append(&line->samples, &line->samples_n, samples, n);
    free(pcm);
    free(samples);
}

static void check_up(side *line, const char *text, ptrdiff_t made)
{
    uint8_t *pcm;
    MUST(made >= 0);
    ptrdiff_t bytes = decoded(text, (size_t)made, &pcm);
    MUST(bytes >= 0 && bytes % 2 == 0);
    check_made(line, 1, 0, (const int16_t *)pcm, (size_t)bytes / 2);
    free(pcm);
}

static void do_phone_frame(side *line, const char *text, size_t n, size_t shift)
{
    uint8_t *mulaw;
    ptrdiff_t mulaw_n = decoded(text, n, &mulaw);
    frame_space space = space_of(phone_room(n), shift);
    ptrdiff_t made = phone_frame(line->stream, text, n, &space);
    if (mulaw_n < 0) {
        MUST(made == FRAME_BAD_BASE64);
    } else {
        MUST(space.mulaw_bytes == (size_t)mulaw_n);
        MUST(space.level_db == ulaw_level_db(mulaw, (size_t)mulaw_n));
        hear_up(line, mulaw, (size_t)mulaw_n);
        check_up(line, space.buffer, made);
    }
    free_space(space, shift);
    space = space_of(pass_room(n), shift);
    made = pass_frame(text, n, &space);
    MUST(mulaw_n < 0 ? made == FRAME_BAD_BASE64 : made == mulaw_n);
    if (mulaw_n > 0)
        MUST(memcmp(space.buffer, mulaw, (size_t)mulaw_n) == 0);
    free_space(space, shift);
    free(mulaw);
}

static void do_phone_gap(side *line, size_t n, size_t shift)
{
    frame_space space = space_of(phone_room((n + 2) / 3 * 4), shift);
    ptrdiff_t made = phone_gap(line->stream, n, &space);
    uint8_t *silence = malloc(n + 1);
    MUST(silence != NULL && space.level_db == LEVEL_OF_SILENCE && space.mulaw_bytes == n);
    memset(silence, 0xFF, n);
    hear_up(line, silence, n);
    check_up(line, space.buffer, made);
    free(silence);
    free_space(space, shift);
}

static void check_down(side *line, int flushed, const char *mulaw, ptrdiff_t made)
{
    MUST(made >= 0);
    int16_t *heard = malloc(2 * (size_t)made + 1);
    MUST(heard != NULL);
    ulaw_decode((const uint8_t *)mulaw, (size_t)made, heard);
    check_made(line, 0, flushed, heard, (size_t)made);
    free(heard);
}

static void do_model_delta(side *line, const char *text, size_t n, size_t shift)
{
    uint8_t *bytes;
    ptrdiff_t bytes_n = decoded(text, n, &bytes);
    frame_space space = space_of(model_room(n), shift);
    ptrdiff_t made = model_delta(line->stream, text, n, &space);
    if (bytes_n < 0) {
        MUST(made == FRAME_BAD_BASE64);
    } else {
        for (ptrdiff_t i = 0; i < bytes_n; i++) { /* byte by byte: another spelling of the carry */
            if (line->has_odd_byte) {
                float sample = (int16_t)(line->odd_byte | bytes[i] << 8);
                append(&line->samples, &line->samples_n, &sample, 1);
            }
            line->odd_byte = bytes[i];
            line->has_odd_byte = !line->has_odd_byte;
        }
        MUST(space.mulaw_bytes == (size_t)made);
        MUST(space.level_db == ulaw_level_db((const uint8_t *)space.buffer, (size_t)made));
        check_down(line, 0, space.buffer, made);
    }
    free_space(space, shift);
    free(bytes);
}

static void do_model_flush(side *line, size_t shift)
{
    frame_space space = space_of(model_room(0), shift);
    ptrdiff_t made = model_flush(line->stream, &space);
    check_down(line, 1, space.buffer, made);
    MUST(line->made_n == (line->samples_n + 1) / 3);
    forget(line);
    free_space(space, shift);
}

static void do_too_little_room(side *up, side *down, const char *text, size_t n)
{
    frame_space space = space_of(phone_room(n) - 1, 0);
    MUST(phone_frame(up->stream, text, n, &space) == FRAME_NO_ROOM);
    space.size = model_room(n) - 1;
    MUST(model_delta(down->stream, text, n, &space) == FRAME_NO_ROOM);
    free_space(space, 0);
    space = space_of(model_room(0) - 1, 0);
    MUST(model_flush(down->stream, &space) == FRAME_NO_ROOM);
    free_space(space, 0);
}

static void step(side *up, side *down, input *in)
{
    uint8_t op = next_byte(in);
    size_t shift = op >> 4, n;
    input piece = next_piece(in);
    char *raw = malloc(piece.left + 1), *valid = text_of(piece, &n);
    MUST(raw != NULL);
    if (piece.left > 0)
        memcpy(raw, piece.at, piece.left);
    switch (op & 7) {
    case 0:
        do_phone_frame(up, raw, piece.left, shift);
        break;
    case 1:
        do_phone_frame(up, valid, n, shift);
        break;
    case 2:
        do_phone_gap(up, piece.left + next_byte(in), shift);
        break;
    case 3:
        do_model_delta(down, raw, piece.left, shift);
        break;
    case 4:
        do_model_delta(down, valid, n, shift);
        break;
    case 5:
        do_model_flush(down, shift);
        break;
    case 6:
        do_too_little_room(up, down, valid, n);
        break;
    default:
        check_mulaw(piece.at, piece.left);
        frame_clear(up->stream), frame_clear(down->stream);
        forget(up), forget(down);
    }
    free(raw);
    free(valid);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    side up = {.stream = frame_open(1)}, down = {.stream = frame_open(0)};
    MUST(up.stream != NULL && down.stream != NULL);
    while (in.left > 0)
        step(&up, &down, &in);
    frame_close(up.stream), frame_close(down.stream);
    free(up.samples), free(down.samples);
    return 0;
}
