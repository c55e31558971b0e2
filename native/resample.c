#include "resample.h"

#include <soxr.h>
#include <stdlib.h>

struct resampler {
    soxr_t soxr;
    size_t sample_bytes;
};

resampler *resample_open(int up, sample_type type)
{
    soxr_datatype_t datatype = type == SAMPLE_FLOAT32 ? SOXR_FLOAT32_I : SOXR_INT16_I;
    soxr_io_spec_t io = soxr_io_spec(datatype, datatype);
    soxr_quality_spec_t quality = soxr_quality_spec(SOXR_16_BITQ, 0);
    soxr_runtime_spec_t runtime = soxr_runtime_spec(1);
    soxr_error_t error = NULL;
    resampler *stream = malloc(sizeof *stream);

    io.flags = SOXR_NO_DITHER;          /* equal input must give equal output */
    quality.passband_end = 0.85;        /* of 4 kHz: what a telephone line carries, 3.4 kHz, */
    quality.stopband_begin = 1.15;      /* and its mirror image at 4.6 kHz */
    runtime.log2_min_dft_size = 8;      /* the smallest libsoxr takes: the least delay */
    runtime.log2_large_dft_size = 8;
    if (stream == NULL)
        return NULL;
    stream->sample_bytes = soxr_datatype_size(datatype);
    stream->soxr = soxr_create(up ? 8000 : 24000, up ? 24000 : 8000, 1, &error, &io, &quality, &runtime);
    if (stream->soxr == NULL || error != NULL) {
        soxr_delete(stream->soxr);
        free(stream);
        return NULL;
    }
    return stream;
}

void resample_close(resampler *stream)
{
    if (stream == NULL)
        return;
    soxr_delete(stream->soxr);
    free(stream);
}

ptrdiff_t resample_process(resampler *stream, const void *in, size_t n, void *out, size_t out_n)
{
    const char *from = in;
    char *to = out;
    size_t written = 0;

    while (n > 0) { /* soxr_process may take less than it is given */
        size_t taken = 0, made = 0;
        if (soxr_process(stream->soxr, from, n, &taken, to, out_n - written, &made) != NULL)
            return -1;
        if (taken == 0 && made == 0)
            return -1; /* out is full */
        n -= taken;
        from += taken * stream->sample_bytes;
        written += made;
        to += made * stream->sample_bytes;
    }
    return (ptrdiff_t)written;
}

ptrdiff_t resample_flush(resampler *stream, void *out, size_t out_n)
{
    char *to = out;
    size_t written = 0, made = 0;

    do {
        if (soxr_process(stream->soxr, NULL, 0, NULL, to, out_n - written, &made) != NULL)
            return -1;
        written += made;
        to += made * stream->sample_bytes;
    } while (made > 0 && written < out_n);
    if (resample_clear(stream) != 0 || (made > 0 && written == out_n))
        return -1; /* a flush that fills its room may have more to say */
    return (ptrdiff_t)written;
}

int resample_clear(resampler *stream)
{
    return soxr_clear(stream->soxr) == NULL ? 0 : -1;
}
