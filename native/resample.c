#include "resample.h"

#include <soxr.h>

/* Samples that libsoxr is given at once, 20 ms at 24 kHz: it keeps room for the longest piece that it
 * has ever seen. */
enum { PIECE = 480 };

/* A resampler is libsoxr's own object under a name that says which one is meant. */
static soxr_t soxr_of(resampler *stream) { return (soxr_t)stream; }

resampler *resample_open(int up)
{
    soxr_io_spec_t io = soxr_io_spec(SOXR_FLOAT32_I, SOXR_FLOAT32_I);
    soxr_quality_spec_t quality = soxr_quality_spec(SOXR_16_BITQ, 0);
    soxr_runtime_spec_t runtime = soxr_runtime_spec(1);
    soxr_error_t error = NULL;

    io.flags = SOXR_NO_DITHER;     /* were it 16-bit one day: equal input gives equal output */
    quality.passband_end = 0.85;   /* of 4 kHz: what a telephone line carries, 3.4 kHz, */
    quality.stopband_begin = 1.15; /* and its mirror image at 4.6 kHz */
    runtime.log2_min_dft_size = 8; /* the smallest libsoxr takes: the least delay */
    runtime.log2_large_dft_size = 8;
    soxr_t soxr =
        soxr_create(up ? 8000 : 24000, up ? 24000 : 8000, 1, &error, &io, &quality, &runtime);
    if (soxr != NULL && error != NULL) {
        soxr_delete(soxr);
        return NULL;
    }
    return (resampler *)soxr;
}

void resample_close(resampler *stream) { soxr_delete(soxr_of(stream)); }

ptrdiff_t resample_process(resampler *stream, const float *in, size_t n, float *out, size_t out_n)
{
    size_t written = 0;

    while (n > 0) { /* soxr_process may take less than it is given */
        size_t taken = 0, made = 0, piece = n < PIECE ? n : PIECE;
        if (soxr_process(soxr_of(stream), in, piece, &taken, out + written, out_n - written, &made))
            return -1;
        if (taken == 0 && made == 0)
            return -1; /* out is full */
        n -= taken;
        in += taken;
        written += made;
    }
    return (ptrdiff_t)written;
}

ptrdiff_t resample_flush(resampler *stream, float *out, size_t out_n)
{
    size_t written = 0, made = 0;

    do {
        if (soxr_process(soxr_of(stream), NULL, 0, NULL, out + written, out_n - written, &made))
            return -1;
        written += made;
    } while (made > 0 && written < out_n);
    if (resample_clear(stream) != 0 || made > 0)
        return -1; /* room was filled: there may be more to say */
    return (ptrdiff_t)written;
}

int resample_clear(resampler *stream) { return soxr_clear(soxr_of(stream)) == NULL ? 0 : -1; }
