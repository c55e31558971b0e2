#include "pcm.h"

#include <math.h>

#if defined(__SSE2__) && !defined(RELAY_NO_SIMD)
#include <emmintrin.h>
#define PCM_SSE2 1
#endif

void pcm_to_float(const int16_t *in, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = in[i];
}

static int16_t rounded(float sample)
{
    if (sample >= 32767.0f)
        return 32767;
    if (sample <= -32768.0f)
        return -32768;
    return (int16_t)lrintf(sample);
}

void pcm_from_float(const float *in, size_t n, int16_t *out)
{
    size_t i = 0;
#ifdef PCM_SSE2 /* both round as the processor is set, to even unless told otherwise */
    const __m128 most = _mm_set1_ps(32767.0f);
    for (; i + 8 <= n; i += 8) {
        __m128i low = _mm_cvtps_epi32(_mm_min_ps(_mm_loadu_ps(in + i), most));
        __m128i high = _mm_cvtps_epi32(_mm_min_ps(_mm_loadu_ps(in + i + 4), most));
        _mm_storeu_si128((__m128i *)(out + i), _mm_packs_epi32(low, high));
    }
#endif
    for (; i < n; i++)
        out[i] = rounded(in[i]);
}

int64_t pcm_energy(const int16_t *in, size_t n)
{
    int64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (int32_t)in[i] * in[i];
    return sum;
}
