#include "resample.h"

#include <soxr.h>
#include <stdlib.h>

/* Samples that libsoxr is given at once, 20 ms at 24 kHz: it keeps room for the longest piece that it
 * has ever seen. */
enum { PIECE = 480 };

/* libsoxr's own object is there while something may be held back, and no longer: it takes 8 us to
 * make, as long as to clear it, and an agent that is silent needs none. */
struct resampler {
    int up;
    soxr_t soxr; /* NULL: as new */
};

resampler *resample_open(int up)
{
    resampler *stream = calloc(1, sizeof *stream);
    if (stream != NULL)
        stream->up = up;
    return stream;
}

void resample_clear(resampler *stream)
{
    soxr_delete(stream->soxr); /* NULL is allowed */
    stream->soxr = NULL;
}

void resample_close(resampler *stream)
{
    if (stream == NULL)
        return;
    resample_clear(stream);
    free(stream);
}

/* Returns 0, or -1 if memory ran out. */
static int begin(resampler *stream)
{
    soxr_io_spec_t io = soxr_io_spec(SOXR_FLOAT32_I, SOXR_FLOAT32_I);
    soxr_quality_spec_t quality = soxr_quality_spec(SOXR_16_BITQ, 0);
    soxr_runtime_spec_t runtime = soxr_runtime_spec(1);
    double from = stream->up ? 8000 : 24000, to = stream->up ? 24000 : 8000;
    soxr_error_t error = NULL;

    io.flags = SOXR_NO_DITHER;     /* were it 16-bit one day: equal input gives equal output */
    quality.passband_end = 0.85;   /* of 4 kHz: what a telephone line carries, 3.4 kHz, */
    quality.stopband_begin = 1.15; /* and its mirror image at 4.6 kHz */
    runtime.log2_min_dft_size = 8; /* the smallest libsoxr takes: the least delay */
    runtime.log2_large_dft_size = 8;
    stream->soxr = soxr_create(from, to, 1, &error, &io, &quality, &runtime);
    if (error != NULL)
        resample_clear(stream);
    return stream->soxr == NULL ? -1 : 0;
}

ptrdiff_t resample_process(resampler *stream, const float *in, size_t n, float *out, size_t out_n)
{
    size_t written = 0;

    if (n > 0 && stream->soxr == NULL && begin(stream) != 0)
        return -1;
    while (n > 0) { /* soxr_process may take less than it is given */
        size_t taken = 0, made = 0, piece = n < PIECE ? n : PIECE;
        if (soxr_process(stream->soxr, in, piece, &taken, out + written, out_n - written, &made))
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

    if (stream->soxr == NULL)
        return 0;
    do {
        if (soxr_process(stream->soxr, NULL, 0, NULL, out + written, out_n - written, &made))
            return -1;
        written += made;
    } while (made > 0 && written < out_n);
    resample_clear(stream);
    return made > 0 ? -1 : (ptrdiff_t)written; /* room was filled: there may be more to say */
}
