#include "g711.h"

#include <string.h>

/* Entry b is the sample of byte b: 512 bytes that stay in the cache beat computing it. One row
 * holds half a segment. tests/audio rebuilds the table from the standard's decision values. */
/* clang-format off */
static const int16_t ulaw_samples[256] = {
    -32124, -31100, -30076, -29052, -28028, -27004, -25980, -24956,
    -23932, -22908, -21884, -20860, -19836, -18812, -17788, -16764,
    -15996, -15484, -14972, -14460, -13948, -13436, -12924, -12412,
    -11900, -11388, -10876, -10364,  -9852,  -9340,  -8828,  -8316,
     -7932,  -7676,  -7420,  -7164,  -6908,  -6652,  -6396,  -6140,
     -5884,  -5628,  -5372,  -5116,  -4860,  -4604,  -4348,  -4092,
     -3900,  -3772,  -3644,  -3516,  -3388,  -3260,  -3132,  -3004,
     -2876,  -2748,  -2620,  -2492,  -2364,  -2236,  -2108,  -1980,
     -1884,  -1820,  -1756,  -1692,  -1628,  -1564,  -1500,  -1436,
     -1372,  -1308,  -1244,  -1180,  -1116,  -1052,   -988,   -924,
      -876,   -844,   -812,   -780,   -748,   -716,   -684,   -652,
      -620,   -588,   -556,   -524,   -492,   -460,   -428,   -396,
      -372,   -356,   -340,   -324,   -308,   -292,   -276,   -260,
      -244,   -228,   -212,   -196,   -180,   -164,   -148,   -132,
      -120,   -112,   -104,    -96,    -88,    -80,    -72,    -64,
       -56,    -48,    -40,    -32,    -24,    -16,     -8,      0,
     32124,  31100,  30076,  29052,  28028,  27004,  25980,  24956,
     23932,  22908,  21884,  20860,  19836,  18812,  17788,  16764,
     15996,  15484,  14972,  14460,  13948,  13436,  12924,  12412,
     11900,  11388,  10876,  10364,   9852,   9340,   8828,   8316,
      7932,   7676,   7420,   7164,   6908,   6652,   6396,   6140,
      5884,   5628,   5372,   5116,   4860,   4604,   4348,   4092,
      3900,   3772,   3644,   3516,   3388,   3260,   3132,   3004,
      2876,   2748,   2620,   2492,   2364,   2236,   2108,   1980,
      1884,   1820,   1756,   1692,   1628,   1564,   1500,   1436,
      1372,   1308,   1244,   1180,   1116,   1052,    988,    924,
       876,    844,    812,    780,    748,    716,    684,    652,
       620,    588,    556,    524,    492,    460,    428,    396,
       372,    356,    340,    324,    308,    292,    276,    260,
       244,    228,    212,    196,    180,    164,    148,    132,
       120,    112,    104,     96,     88,     80,     72,     64,
        56,     48,     40,     32,     24,     16,      8,      0,
};
/* clang-format on */

void ulaw_decode(const uint8_t *in, size_t n, int16_t *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = ulaw_samples[in[i]];
}

/* Floating point has the shape of mu-law: m + 33 lies in 33 … 8191, exact in a float, whose
 * exponent field is then the segment (counted from 2^5) and whose four highest fraction bits are
 * the mantissa. So one shift finds both, with neither branch nor table, and compilers turn the loop
 * into SIMD. */
static uint32_t float_bits(int32_t value)
{
    float f = (float)value;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

void ulaw_encode(const int16_t *in, size_t n, uint8_t *out)
{
    const uint32_t exponent_of_32 = (127u + 5u) << 4;
    for (size_t i = 0; i < n; i++) {
        int32_t x = in[i];
        int32_t negative = -(x < 0); /* 0 or -1: x ^ -1 is the ones' complement of G.191 */
        int32_t m = ((x ^ negative) >> 2) + 33;
        m = m > 8191 ? 8191 : m;
        uint32_t code = (float_bits(m) >> 19) - exponent_of_32;
        out[i] = (uint8_t) ~(code | ((uint32_t)negative & 0x80u));
    }
}
