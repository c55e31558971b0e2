#include "ws.h"

#include <string.h>

enum { FIN = 0x80, RESERVED = 0x70, OPCODE = 0x0F, MASKED = 0x80, LENGTH = 0x7F };

/* ---- UTF-8 ------------------------------------------------------------------------------- */

/* Between two bytes of a character: how many are still to come, and in what bounds the next one
 * must lie. RFC 3629: no character in more bytes than it needs, no surrogates, none past 10FFFF. */
static uint32_t wanted(unsigned more, unsigned low, unsigned high)
{
    return more | low << 8 | high << 16;
}

static uint32_t first_byte(uint8_t byte)
{
    if (byte >= 0xC2 && byte <= 0xDF)
        return wanted(1, 0x80, 0xBF);
    if (byte >= 0xE0 && byte <= 0xEF)
        return wanted(2, byte == 0xE0 ? 0xA0 : 0x80, byte == 0xED ? 0x9F : 0xBF);
    if (byte >= 0xF0 && byte <= 0xF4)
        return wanted(3, byte == 0xF0 ? 0x90 : 0x80, byte == 0xF4 ? 0x8F : 0xBF);
    return 0; /* begins no character */
}

/* Length of the ASCII at the beginning, in whole words. */
static size_t plain(const uint8_t *bytes, size_t n)
{
    size_t at = 0;
    for (uint64_t word[4]; at + sizeof word <= n; at += sizeof word) {
        memcpy(word, bytes + at, sizeof word);
        if ((word[0] | word[1] | word[2] | word[3]) & 0x8080808080808080u)
            break;
    }
    return at;
}

int ws_utf8(uint32_t *state, const uint8_t *bytes, size_t n)
{
    uint32_t want = *state;
    for (size_t at = 0; at < n; at++) {
        if (want == 0) {
            at += plain(bytes + at, n - at);
            if (at == n)
                break;
            if (bytes[at] < 0x80)
                continue;
            want = first_byte(bytes[at]);
            if (want == 0)
                return -1;
            continue;
        }
        if (bytes[at] < (want >> 8 & 0xFF) || bytes[at] > want >> 16)
            return -1;
        want = (want & 0xFF) == 1 ? 0 : wanted((want & 0xFF) - 1, 0x80, 0xBF);
    }
    *state = want;
    return 0;
}

/* ---- masks and heads --------------------------------------------------------------------- */

void ws_mask(uint8_t *bytes, size_t n, const uint8_t *key)
{
    uint32_t half;
    memcpy(&half, key, 4);
    uint64_t whole = (uint64_t)half << 32 | half;
    size_t at = 0;
    for (uint64_t word; at + 8 <= n; at += 8) {
        memcpy(&word, bytes + at, 8);
        word ^= whole;
        memcpy(bytes + at, &word, 8);
    }
    for (; at < n; at++)
        bytes[at] ^= key[at % 4];
}

size_t ws_head(uint8_t *out, int opcode, size_t n, const uint8_t *key)
{
    size_t at = 2, wide = n < 126 ? 0 : n < 0x10000 ? 2 : 8;
    out[0] = (uint8_t)(FIN | opcode);
    out[1] = (uint8_t)((key == NULL ? 0 : MASKED) | (wide == 0 ? n : wide == 2 ? 126 : 127));
    for (size_t i = wide; i > 0; i--)
        out[at++] = (uint8_t)((uint64_t)n >> 8 * (i - 1));
    if (key != NULL) {
        memcpy(out + at, key, 4);
        at += 4;
    }
    return at;
}

/* ---- reading ----------------------------------------------------------------------------- */

static int broken(ws_frame *frame, int code)
{
    frame->code = code;
    return WS_BROKEN;
}

static int more(ws_frame *frame, size_t need)
{
    frame->need = need;
    return WS_MORE;
}

static int close_code_is_good(int code)
{
    if (code >= 3000)
        return code <= 4999;
    return code >= 1000 && code <= 1014 && (code < 1004 || code > 1006);
}

static int read_close(ws_frame *frame, const uint8_t *payload)
{
    uint32_t text = 0;
    frame->code = WS_NO_CODE;
    if (frame->payload_n == 0)
        return WS_CLOSE;
    if (frame->payload_n == 1)
        return broken(frame, WS_PROTOCOL_ERROR);
    frame->code = payload[0] << 8 | payload[1];
    if (!close_code_is_good(frame->code))
        return broken(frame, WS_PROTOCOL_ERROR);
    frame->payload += 2;
    frame->payload_n -= 2;
    if (ws_utf8(&text, payload + 2, frame->payload_n) < 0 || text != 0)
        return broken(frame, WS_BAD_TEXT);
    return WS_CLOSE;
}

static int read_data(ws_reader *reader, ws_frame *frame, const uint8_t *payload)
{
    if (reader->message == WS_TEXT) {
        if (ws_utf8(&reader->utf8, payload, frame->payload_n) < 0)
            return broken(frame, WS_BAD_TEXT);
        if (frame->final && reader->utf8 != 0)
            return broken(frame, WS_BAD_TEXT);
    }
    frame->opcode = reader->message;
    reader->length += frame->payload_n;
    if (frame->final) {
        reader->message = 0;
        reader->length = 0;
    }
    return frame->opcode;
}

int ws_read(ws_reader *reader, uint8_t *bytes, size_t n, ws_frame *frame)
{
    memset(frame, 0, sizeof *frame);
    if (n < 2)
        return more(frame, 2);
    int opcode = bytes[0] & OPCODE, control = opcode >= WS_CLOSE, masked = bytes[1] >= MASKED;
    uint64_t length = bytes[1] & LENGTH;
    frame->final = bytes[0] >= FIN;
    if (bytes[0] & RESERVED || masked != reader->masked || opcode > WS_PONG ||
        (opcode > WS_BINARY && opcode < WS_CLOSE))
        return broken(frame, WS_PROTOCOL_ERROR);
    if (control ? !frame->final || length > WS_CONTROL_PAYLOAD
                : (opcode == WS_CONTINUATION) != (reader->message != 0))
        return broken(frame, WS_PROTOCOL_ERROR);

    size_t wide = length < 126 ? 0 : length == 126 ? 2 : 8, head = 2 + wide + (masked ? 4 : 0);
    if (n < head)
        return more(frame, head);
    if (wide != 0) {
        length = 0;
        for (size_t i = 0; i < wide; i++)
            length = length << 8 | bytes[2 + i];
        if (length < (wide == 2 ? 126 : 0x10000) || length >> 63)
            return broken(frame, WS_PROTOCOL_ERROR);
    }
    if (!control && length > reader->limit - reader->length)
        return broken(frame, WS_TOO_LONG);
    if (n - head < length)
        return more(frame, head + (size_t)length);

    uint8_t *payload = bytes + head;
    frame->used = head + (size_t)length;
    frame->payload = head;
    frame->payload_n = (size_t)length;
    frame->opcode = opcode;
    if (masked)
        ws_mask(payload, frame->payload_n, payload - 4);
    if (opcode == WS_CLOSE)
        return read_close(frame, payload);
    if (control)
        return opcode;
    if (opcode != WS_CONTINUATION) {
        reader->message = opcode;
        reader->utf8 = 0;
    }
    return read_data(reader, frame, payload);
}
