/* G.711 mu-law <-> 16-bit linear PCM, exactly as ITU-T G.711 and its reference code G.191 have it.
 *
 * A mu-law byte, all bits inverted on the line:
 *
 *      bit    7      6 5 4       3 2 1 0
 *          +------+----------+-----------+
 *          | sign | exponent | mantissa  |      ~byte; sign 1 = negative
 *          +------+----------+-----------+
 *
 *      |sample| = ((mantissa * 2 + 33) << exponent) - 33      in 14-bit units, * 4 in 16 bits
 *
 * Worked example: +1000 is 250 in 14 bits; 250 + 33 = 283 = 1.0001 1011b * 2^8, so the exponent is
 * 8 - 5 = 3 and the mantissa 0001b; bits 0 011 0001, inverted 0xCE. Back: ((2 + 33) << 3) - 33 is
 * 247, * 4 = 988.
 *
 * Zero has two codes: 0xFF (+0, our silence) and 0x7F (-0, which -1 … -4 become). Magnitudes above
 * 32,635 clip. A sample on a decision value belongs to the interval above it, whatever its sign.
 *
 * Pure functions over the caller's buffers: nothing is allocated or kept, nothing can fail. `in`
 * and `out` must not overlap.
 */
#ifndef RELAY_G711_H
#define RELAY_G711_H

#include <stddef.h>
#include <stdint.h>

/* n mu-law bytes become n samples. */
void ulaw_decode(const uint8_t *in, size_t n, int16_t *out);

/* n samples become n mu-law bytes. */
void ulaw_encode(const int16_t *in, size_t n, uint8_t *out);

#endif
