/* libFuzzer target for WebSocket frames and the media reader: any bytes, in any pieces.
 *
 * The first bytes choose the role, the limit and the pieces; the rest is what a peer sends. It is
 * read twice: in one piece, and piece by piece in a block that ends where the bytes do, so that one
 * byte too far is seen. What must hold:
 *
 *      pieces      both ways say the same of every frame
 *      bounds      a payload lies within what was received, a message within its limit
 *      text        what is passed on as text is UTF-8
 *      frames      what is written is read again as it was
 *      media       a frame that is taken is good base64 and makes as many samples as it must
 *      marks       a mark that is taken has a name that stands in the message; one of ours comes back
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base64.c"
#include "clock.c"
#include "frame.c"
#include "g711.c"
#include "link.c"
#include "media.c"
#include "pcm.c"
#include "play.c"
#include "resample.c"
#include "tls.c"
#include "ws.c"

#define MUST(what)                                                                                 \
    do {                                                                                           \
        if (!(what)) {                                                                             \
            fprintf(stderr, "%s:%d: must hold: %s\n", __FILE__, __LINE__, #what);                  \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { FRAMES = 4096 };

typedef struct {
    int kind, final, code;
    size_t used, payload_n;
    uint32_t sum;
} seen;

static int same(const seen *a, const seen *b)
{
    return a->kind == b->kind && a->final == b->final && a->code == b->code && a->used == b->used &&
           a->payload_n == b->payload_n && a->sum == b->sum;
}

static uint32_t sum_of(const uint8_t *bytes, size_t n)
{
    uint32_t sum = 1;
    for (size_t i = 0; i < n; i++)
        sum = sum * 31 + bytes[i];
    return sum;
}

static seen look(const ws_reader *reader, int kind, const ws_frame *frame, const uint8_t *bytes,
                 size_t n)
{
    if (kind == WS_BROKEN)
        return (seen){.kind = kind, .code = frame->code};
    MUST(frame->used <= n && frame->payload + frame->payload_n == frame->used);
    MUST(reader->length <= reader->limit);
    if (kind >= WS_CLOSE)
        MUST(frame->payload_n <= WS_CONTROL_PAYLOAD && frame->final);
    else
        MUST(kind == WS_TEXT || kind == WS_BINARY);
    uint32_t sum = sum_of(bytes + frame->payload, frame->payload_n);
    return (seen){kind, frame->final, frame->code, frame->used, frame->payload_n, sum};
}

/* All frames in one piece. Returns how many. */
static size_t at_once(ws_reader reader, const uint8_t *data, size_t n, seen *frames)
{
    size_t count = 0, start = 0;
    uint8_t *bytes = malloc(n + 1);
    MUST(bytes != NULL);
    memcpy(bytes, data, n);
    while (count < FRAMES) {
        ws_frame frame;
        int kind = ws_read(&reader, bytes + start, n - start, &frame);
        if (kind == WS_MORE)
            break;
        frames[count++] = look(&reader, kind, &frame, bytes + start, n - start);
        if (kind == WS_BROKEN || kind == WS_CLOSE)
            break;
        start += frame.used;
    }
    free(bytes);
    return count;
}

/* The same, where each look sees `piece` bytes more, in a block of its own. */
static void in_pieces(ws_reader reader, const uint8_t *data, size_t n, size_t piece,
                      const seen *frames, size_t count)
{
    size_t start = 0, end = 0, at = 0;
    while (at < count) {
        uint8_t *bytes = malloc(end - start > 0 ? end - start : 1);
        MUST(bytes != NULL);
        memcpy(bytes, data + start, end - start);
        ws_frame frame;
        ws_reader before = reader;
        int kind = ws_read(&reader, bytes, end - start, &frame);
        if (kind == WS_MORE) {
            MUST(frame.need > end - start && memcmp(bytes, data + start, end - start) == 0);
            MUST(memcmp(&before, &reader, sizeof reader) == 0 && end < n);
            end = n - end < piece ? n : end + piece;
        } else {
            seen one = look(&reader, kind, &frame, bytes, end - start);
            MUST(same(&one, &frames[at]));
            start += frame.used;
            at++;
        }
        free(bytes);
    }
}

static void check_text(const uint8_t *data, size_t n)
{
    uint32_t whole = 0, parts = 0;
    int good = ws_utf8(&whole, data, n) == 0, also = 1;
    for (size_t i = 0; i < n && also; i++)
        also = ws_utf8(&parts, data + i, 1) == 0;
    MUST(good == also && (!good || whole == parts));
}

/* Bytes as a message of ours, through a link's buffers, to the other side. */
static void there_and_back(const uint8_t *data, size_t n, int client)
{
    link_end from = {.fd = -1, .reader = {.limit = n, .masked = !client}, .keys_used = 256};
    link_end to = {.fd = -1, .reader = {.limit = n, .masked = client}};
    from.out_size = n + WS_HEAD;
    from.out = malloc(from.out_size);
    MUST(from.out != NULL && link_put(&from, WS_BINARY, data, n) == 0);
    if (n > 0)
        MUST(link_put(&from, WS_BINARY, data, n) == LINK_NO_ROOM);
    to.got = from.out;
    to.got_size = to.end = from.filled;
    MUST(link_next(&to) == WS_BINARY && to.frame.payload_n == n && to.start == to.end);
    MUST(n == 0 || memcmp(to.got + to.frame.payload, data, n) == 0);
    free(from.out);
}

static int within(const uint8_t *all, size_t all_n, const uint8_t *part, size_t n)
{
    for (size_t at = 0; at + n <= all_n; at++)
        if (memcmp(all + at, part, n) == 0)
            return 1;
    return 0;
}

/* The bytes as a chunk of our speech, and the first of them as the name of its mark. */
static void say_it(const uint8_t *data, size_t n)
{
    const char *name = (const char *)data;
    size_t name_n = n < 1 ? 0 : data[0] % 100;
    name_n = name_n > n ? n : name_n;
    link_end from = {.fd = -1, .reader = {.limit = 1 << 16, .masked = 1}};
    from.out_size = base64_length(n) + name_n + 256;
    from.out = malloc(from.out_size);
    MUST(from.out != NULL);
    int done = play_put(&from, "MZ1", 3, data, n, name, name_n);
    MUST(done == 0 || done == PLAY_ESCAPES);
    if (done == 0) {
        link_end to = {.fd = -1, .reader = {.limit = 1 << 16}};
        media_ear ear = {.phone = &to, .stream_sid = "MZ1", .stream_sid_n = 3};
        to.got = from.out;
        to.got_size = to.end = from.filled;
        MUST(link_next(&to) == WS_TEXT && to.start < to.end);
        int kind = media_next(&ear);
        MUST(kind == MEDIA_ECHOED || kind == WS_TEXT || kind == WS_BROKEN);
        if (kind == MEDIA_ECHOED)
            MUST((size_t)ear.echo_n == name_n && memcmp(ear.echo, name, name_n) == 0);
        else /* longer than an ear keeps, or no UTF-8 */
            MUST(name_n == 0 || name_n > EAR_NAME || kind == WS_BROKEN);
        if (kind != WS_BROKEN)
            MUST(to.start == to.end);
    } else {
        MUST(from.filled == 0);
    }
    free(from.out);
}

/* The bytes as a text that a phone sends. */
static void hear_it(const uint8_t *data, size_t n, int converted)
{
    link_end phone = {.fd = -1, .reader = {.limit = 1 << 16}};
    uint8_t head[WS_HEAD];
    size_t head_n = ws_head(head, WS_TEXT, n, NULL);
    phone.got = malloc(head_n + n);
    MUST(phone.got != NULL);
    memcpy(phone.got, head, head_n);
    memcpy(phone.got + head_n, data, n);
    phone.got_size = phone.end = head_n + n;
    frame_space space = {.size = phone_room(n)};
    space.buffer = malloc(space.size);
    media_ear ear = {.phone = &phone, .space = &space, .stream_sid = "MZ1", .stream_sid_n = 3};
    ear.stream = converted ? frame_open(1) : NULL;
    MUST(space.buffer != NULL && (!converted || ear.stream != NULL));
    int kind = media_next(&ear);
    if (kind == MEDIA_ECHOED)
        MUST(ear.echo_n > 0 && ear.echo_n <= EAR_NAME &&
             within(data, n, (const uint8_t *)ear.echo, (size_t)ear.echo_n));
    if (kind == MEDIA_TAKEN) {
        uint8_t *bytes = malloc(base64_bound(ear.audio_n) + 1);
        MUST(bytes != NULL && ear.chunk > 0);
        ptrdiff_t made = base64_decode(ear.audio, ear.audio_n, bytes);
        MUST(made >= 0 && (converted ? made % 2 == 0 : (size_t)made == space.mulaw_bytes));
        MUST(ear.rises >= 0 && (size_t)ear.rises <= space.mulaw_bytes);
        free(bytes);
    }
    frame_close(ear.stream);
    free(space.buffer);
    free(phone.got);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    static seen frames[FRAMES];
    ws_reader reader = {.limit = (uint64_t)data[1] * 8, .masked = data[0] & 1};
    size_t piece = 1 + data[2] % 64;
    int converted = data[0] >> 1 & 1;
    data += 3, size -= 3;
    size_t count = at_once(reader, data, size, frames);
    in_pieces(reader, data, size, piece, frames, count);
    check_text(data, size);
    there_and_back(data, size, converted);
    say_it(data, size);
    hear_it(data, size, converted);
    return 0;
}
