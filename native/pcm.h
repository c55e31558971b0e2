/* 16-bit PCM and the floats that the resampler works in, which keep its scale: -32768.0 … 32767.0.
 *
 * libsoxr could take and give 16 bits itself, but rounds one sample at a time; four at a time save
 * a tenth of a frame's cost. Pure functions over the caller's buffers, which must not overlap.
 */
#ifndef RELAY_PCM_H
#define RELAY_PCM_H

#include <stddef.h>
#include <stdint.h>

void pcm_to_float(const int16_t *in, size_t n, float *out);

/* To the nearest whole number, halves to the even one; what is beyond 16 bits clips. */
void pcm_from_float(const float *in, size_t n, int16_t *out);

/* Sum of squares, at most 2^30 a sample. */
int64_t pcm_energy(const int16_t *in, size_t n);

#endif
