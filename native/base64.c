#include "base64.h"

static const char alphabet[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_encode(const uint8_t *in, size_t n, char *out)
{
    const char *start = out;
    for (; n >= 3; n -= 3, in += 3, out += 4) {
        uint32_t group = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
        out[0] = alphabet[group >> 18];
        out[1] = alphabet[group >> 12 & 63];
        out[2] = alphabet[group >> 6 & 63];
        out[3] = alphabet[group & 63];
    }
    if (n > 0) {
        uint32_t group = (uint32_t)in[0] << 16 | (n == 2 ? (uint32_t)in[1] << 8 : 0);
        out[0] = alphabet[group >> 18];
        out[1] = alphabet[group >> 12 & 63];
        out[2] = n == 2 ? alphabet[group >> 6 & 63] : '=';
        out[3] = '=';
        out += 4;
    }
    return (size_t)(out - start);
}

/* Entry c is the 6-bit value of character c; BAD has bits that no value has. */
#define BAD 0xFF
static const uint8_t values[256] = {
    BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD,
    BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD,
    BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD,  62, BAD, BAD, BAD,  63,
     52,  53,  54,  55,  56,  57,  58,  59,  60,  61, BAD, BAD, BAD, BAD, BAD, BAD,
    BAD,   0,   1,   2,   3,   4,   5,   6,   7,   8,   9,  10,  11,  12,  13,  14,
     15,  16,  17,  18,  19,  20,  21,  22,  23,  24,  25, BAD, BAD, BAD, BAD, BAD,
    BAD,  26,  27,  28,  29,  30,  31,  32,  33,  34,  35,  36,  37,  38,  39,  40,
     41,  42,  43,  44,  45,  46,  47,  48,  49,  50,  51, BAD, BAD, BAD, BAD, BAD,
    BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD,
    BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD,
    BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD,
    BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD,
    BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD,
    BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD,
    BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD,
    BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD,
};

/* The last group, which alone may be padded. Returns bytes written, or -1. */
static ptrdiff_t decode_last(const char *in, uint8_t *out)
{
    const uint8_t *c = (const uint8_t *)in;
    int padding = (c[3] == '=') + (c[3] == '=' && c[2] == '=');
    uint32_t v2 = padding == 2 ? 0 : values[c[2]], v3 = padding ? 0 : values[c[3]];
    if ((values[c[0]] | values[c[1]] | v2 | v3) & 0xC0)
        return -1;
    uint32_t group = (uint32_t)values[c[0]] << 18 | (uint32_t)values[c[1]] << 12 | v2 << 6 | v3;
    uint32_t left_over = padding == 2 ? 0xFFFF : padding == 1 ? 0xFF : 0;
    if (group & left_over)
        return -1;
    out[0] = (uint8_t)(group >> 16);
    if (padding < 2)
        out[1] = (uint8_t)(group >> 8);
    if (padding < 1)
        out[2] = (uint8_t)group;
    return 3 - padding;
}

ptrdiff_t base64_decode(const char *in, size_t n, uint8_t *out)
{
    if (n == 0)
        return 0;
    if (n % 4 != 0)
        return -1;
    const uint8_t *start = out;
    uint32_t seen = 0;                          /* one test at the end instead of one a character */
    for (; n > 4; n -= 4, in += 4, out += 3) {
        const uint8_t *c = (const uint8_t *)in;
        uint32_t v0 = values[c[0]], v1 = values[c[1]], v2 = values[c[2]], v3 = values[c[3]];
        seen |= v0 | v1 | v2 | v3;
        uint32_t group = v0 << 18 | v1 << 12 | v2 << 6 | v3;
        out[0] = (uint8_t)(group >> 16);
        out[1] = (uint8_t)(group >> 8);
        out[2] = (uint8_t)group;
    }
    ptrdiff_t last = decode_last(in, out);
    if ((seen & 0xC0) || last < 0)
        return -1;
    return out - start + last;
}
