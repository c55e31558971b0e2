#include "g711.h"

#include <string.h>

/* Floating point has the shape of mu-law. A magnitude plus 33 lies in 33 … 8191, exact in a float:
 *
 *      float       sign  exponent, from 2^5    fraction: 4 bits of mantissa  19 more
 *      mu-law      sign  exponent              mantissa
 *
 * So one shift turns the one into the other, with neither branch nor table, and compilers make SIMD
 * of the loops: half the cost of a table of 256 samples, and no cache line of it.
 */
enum {
    FRACTION_BELOW_MANTISSA = 19,
    EXPONENT_OF_32 = (127 + 5) << 4, /* where a float's exponent and mantissa begin to count */
    BIAS = 33,
    LARGEST_SUM = 8191,
};

void ulaw_decode(const uint8_t *in, size_t n, int16_t *out)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t code = (uint8_t)~in[i];
        uint32_t bits = ((code & 0x7F) + EXPONENT_OF_32) << FRACTION_BELOW_MANTISSA;
        bits |= 1u << (FRACTION_BELOW_MANTISSA - 1); /* the middle of the step */
        float sum;
        memcpy(&sum, &bits, sizeof sum);
        int32_t magnitude = ((int32_t)sum - BIAS) * 4;
        out[i] = (int16_t)(code & 0x80 ? -magnitude : magnitude);
    }
}

void ulaw_encode(const int16_t *in, size_t n, uint8_t *out)
{
    for (size_t i = 0; i < n; i++) {
        int32_t x = in[i];
        int32_t negative = -(x < 0); /* 0 or -1: x ^ -1 is the ones' complement of G.191 */
        int32_t sum = ((x ^ negative) >> 2) + BIAS;
        sum = sum > LARGEST_SUM ? LARGEST_SUM : sum; /* (inside the cast, GCC makes it a branch) */
        float exact = (float)sum;
        uint32_t bits;
        memcpy(&bits, &exact, sizeof bits);
        uint32_t code = (bits >> FRACTION_BELOW_MANTISSA) - EXPONENT_OF_32;
        out[i] = (uint8_t) ~(code | ((uint32_t)negative & 0x80));
    }
}
