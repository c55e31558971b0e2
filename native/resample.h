/* One-directional streams between 8 and 24 kHz over libsoxr, tuned for low delay.
 *
 * libsoxr filters with FFTs and buffers for them: its presets hold back 40 to 150 ms and let go in
 * lumps. Its 16-bit recipe with the smallest transform (2^8) and a transition band of 3.4 … 4.6 kHz
 * holds back 5 ms, always the same: of the first 20 ms come 15, then 20 ms for 20 ms.
 *
 *                        8 -> 24 kHz          24 -> 8 kHz
 *      first 20 ms       160 in, 360 out      480 in, 120 out
 *      each after        160 in, 480 out      480 in, 160 out
 *      flush             120 out              40 out              so n in give 3n, or round(n / 3)
 *
 * Output depends on the samples alone, not on how they were cut into calls, bit for bit.
 *
 * One stream belongs to one call and one direction and is used by one thread at a time; different
 * streams are independent. One that is as new is a few bytes; the first process that it sees allocates
 * some 40 KiB, which flush and clear give back.
 */
#ifndef RELAY_RESAMPLE_H
#define RELAY_RESAMPLE_H

#include <stddef.h>

typedef struct resampler resampler;

/* More samples than a stream ever holds back, 183: room to add to every output. */
enum { RESAMPLE_SLACK = 256 };

/* Room that n input samples need, at most. */
static inline size_t resample_bound(size_t n, int up)
{
    return (up ? 3 * n : n / 3) + RESAMPLE_SLACK;
}

/* up != 0: 8 -> 24 kHz, else 24 -> 8. NULL if memory ran out. */
resampler *resample_open(int up);

/* NULL is allowed. */
void resample_close(resampler *stream);

/* Takes all n samples; returns how many it wrote to out, or -1 if out has too little room (out_n,
 * in samples) or memory ran out: the stream must then be cleared. n may be 0. No overlap. */
ptrdiff_t resample_process(resampler *stream, const float *in, size_t n, float *out, size_t out_n);

/* Writes what is held back; the stream is as new afterwards. Returns samples written, or -1. */
ptrdiff_t resample_flush(resampler *stream, float *out, size_t out_n);

/* Forgets what is held back; the stream is as new. */
void resample_clear(resampler *stream);

#endif
