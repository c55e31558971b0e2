#include "base64.h"

#if defined(__x86_64__) && !defined(RELAY_NO_SIMD)
#include <tmmintrin.h>
#define BASE64_SSSE3 1
#endif

/* ---- sixteen characters at a time ---------------------------------------------------------------
 *
 * A frame holds 1,280 characters, and one by one they would cost a fifth of it. SSSE3 (every x86-64
 * since 2006, asked for at run time) has byte shuffles, which are tables of 16 entries. The idea of
 * telling alphabets apart by nibbles is W. Muła's. Each half stops where it could touch bytes that
 * are not its own and leaves the rest, valid or not, to the plain code below.
 */
#ifdef BASE64_SSSE3

/* How many bytes of `in` (a multiple of 12) were encoded. */
__attribute__((target("ssse3"))) static size_t encode_wide(const uint8_t *in, size_t n, char *out)
{
    /* Bytes a b c of each group to the 16-bit halves (a b) and (b c), high byte first. */
    const __m128i spread = _mm_setr_epi8(1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10);
    /* What to add to a sextet, by its class: 0 a-z, 1 … 10 digits, 11 plus, 12 slash, 13 A-Z. */
    const __m128i shift =
        _mm_setr_epi8('a' - 26, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52,
                      '0' - 52, '0' - 52, '0' - 52, '0' - 52, '+' - 62, '/' - 63, 'A', 0, 0);
    size_t done = 0;

    for (; n - done >= 16; done += 12, out += 16) { /* reads 16, uses 12 */
        __m128i pairs = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(in + done)), spread);
        /* Sextets 0 and 2 move down by 10 and 6 bits, sextets 1 and 3 up by 4 and 8. */
        __m128i even = _mm_mulhi_epu16(_mm_and_si128(pairs, _mm_set1_epi32(0x0FC0FC00)),
                                       _mm_set1_epi32(0x04000040));
        __m128i odd = _mm_mullo_epi16(_mm_and_si128(pairs, _mm_set1_epi32(0x003F03F0)),
                                      _mm_set1_epi32(0x01000010));
        __m128i sextets = _mm_or_si128(even, odd);
        __m128i upper =
            _mm_and_si128(_mm_cmpgt_epi8(_mm_set1_epi8(26), sextets), _mm_set1_epi8(13));
        __m128i class = _mm_or_si128(_mm_subs_epu8(sextets, _mm_set1_epi8(51)), upper);
        __m128i chars = _mm_add_epi8(sextets, _mm_shuffle_epi8(shift, class));
        _mm_storeu_si128((__m128i *)out, chars);
    }
    return done;
}

/* How many characters of `in` (a multiple of 16) were decoded; stops before one that is none. */
__attribute__((target("ssse3"))) static size_t decode_wide(const char *in, size_t n, uint8_t *out)
{
    /* A character is wrong if its two nibbles share a bit. By the high one: 1 nothing is right,
     * 2 (0x2_) only + and /, 4 (0x3_) digits, 8 (0x4_, 0x6_) all but 0, 16 (0x5_, 0x7_) up to A. */
    const __m128i by_high = _mm_setr_epi8(1, 1, 2, 4, 8, 16, 8, 16, 1, 1, 1, 1, 1, 1, 1, 1);
    const __m128i by_low = _mm_setr_epi8(1 | 2 | 8, 1 | 2, 1 | 2, 1 | 2, 1 | 2, 1 | 2, 1 | 2, 1 | 2,
                                         1 | 2, 1 | 2, 1 | 2 | 4, 1 | 4 | 16, 1 | 2 | 4 | 16,
                                         1 | 2 | 4 | 16, 1 | 2 | 4 | 16, 1 | 4 | 16);
    /* What to add to a character, by its high nibble; the slash borrows entry 1. */
    const __m128i shift = _mm_setr_epi8(0, 63 - '/', 62 - '+', 52 - '0', -'A', -'A', 26 - 'a',
                                        26 - 'a', 0, 0, 0, 0, 0, 0, 0, 0);
    const __m128i gather = _mm_setr_epi8(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1);
    const __m128i nibble = _mm_set1_epi8(15);
    size_t done = 0;

    for (; n - done >= 24; done += 16, out += 12) { /* writes 16 bytes, of which 12 count */
        __m128i chars = _mm_loadu_si128((const __m128i *)(in + done));
        __m128i high = _mm_and_si128(_mm_srli_epi16(chars, 4), nibble);
        __m128i low = _mm_and_si128(chars, nibble);
        __m128i wrong =
            _mm_and_si128(_mm_shuffle_epi8(by_high, high), _mm_shuffle_epi8(by_low, low));
        if (_mm_movemask_epi8(_mm_cmpeq_epi8(wrong, _mm_setzero_si128())) != 0xFFFF)
            break;
        __m128i slash = _mm_cmpeq_epi8(chars, _mm_set1_epi8('/')); /* -1 where it is one */
        __m128i sextets = _mm_add_epi8(chars, _mm_shuffle_epi8(shift, _mm_add_epi8(high, slash)));
        __m128i pairs =
            _mm_maddubs_epi16(sextets, _mm_set1_epi16(0x0140)); /* first * 64 + second */
        __m128i groups =
            _mm_madd_epi16(pairs, _mm_set1_epi32(0x00011000)); /* first * 4096 + second */
        _mm_storeu_si128((__m128i *)out, _mm_shuffle_epi8(groups, gather));
    }
    return done;
}

static int has_ssse3(void) { return __builtin_cpu_supports("ssse3"); }

#else

static size_t encode_wide(const uint8_t *in, size_t n, char *out)
{
    (void)in, (void)n, (void)out;
    return 0;
}

static size_t decode_wide(const char *in, size_t n, uint8_t *out)
{
    (void)in, (void)n, (void)out;
    return 0;
}

static int has_ssse3(void) { return 0; }

#endif

/* ---- one group at a time --------------------------------------------------------------------- */

static const char alphabet[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_encode(const uint8_t *in, size_t n, char *out)
{
    size_t length = base64_length(n);
    size_t wide = has_ssse3() ? encode_wide(in, n, out) : 0;
    in += wide, n -= wide, out += wide / 3 * 4;
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
    }
    return length;
}

/* Entry c is the sextet of character c; BAD has bits that no sextet has. */
#define BAD 0xFF
/* clang-format off */
static const uint8_t sextets[256] = {
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
/* clang-format on */

/* The last group, which alone may be padded. Returns bytes written, or -1. */
static ptrdiff_t decode_last(const char *in, uint8_t *out)
{
    const uint8_t *c = (const uint8_t *)in;
    int padding = (c[3] == '=') + (c[3] == '=' && c[2] == '=');
    uint32_t s0 = sextets[c[0]], s1 = sextets[c[1]];
    uint32_t s2 = padding == 2 ? 0 : sextets[c[2]], s3 = padding > 0 ? 0 : sextets[c[3]];
    uint32_t group = s0 << 18 | s1 << 12 | s2 << 6 | s3;
    uint32_t left_over = padding == 2 ? 0xFFFF : padding == 1 ? 0xFF : 0;
    if (((s0 | s1 | s2 | s3) & 0xC0) || (group & left_over))
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
    size_t wide = has_ssse3() ? decode_wide(in, n, out) : 0;
    in += wide, n -= wide, out += wide / 4 * 3;
    uint32_t seen = 0; /* one test at the end instead of one a character */
    for (; n > 4; n -= 4, in += 4, out += 3) {
        const uint8_t *c = (const uint8_t *)in;
        uint32_t s0 = sextets[c[0]], s1 = sextets[c[1]], s2 = sextets[c[2]], s3 = sextets[c[3]];
        seen |= s0 | s1 | s2 | s3;
        uint32_t group = s0 << 18 | s1 << 12 | s2 << 6 | s3;
        out[0] = (uint8_t)(group >> 16);
        out[1] = (uint8_t)(group >> 8);
        out[2] = (uint8_t)group;
    }
    ptrdiff_t last = decode_last(in, out);
    if ((seen & 0xC0) || last < 0)
        return -1;
    return out - start + last;
}
