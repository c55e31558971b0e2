/* A flat reader of JSON, for the messages that are read in C: objects of strings that stand for
 * themselves. Whatever is spelled otherwise is not read, and left to Python. */
#ifndef RELAY_JSON_H
#define RELAY_JSON_H

#include <stddef.h>
#include <string.h>

typedef struct {
    const char *at, *end;
} text;

typedef struct {
    const char *at;
    size_t n;
} word;

static inline int is(word it, const char *name)
{
    return it.n == strlen(name) && memcmp(it.at, name, it.n) == 0;
}

static inline int skip(text *in, char sign)
{
    if (in->at == in->end || *in->at != sign)
        return 0;
    in->at++;
    return 1;
}

/* A string that stands for itself: no escape, no control character. */
static inline int string(text *in, word *out)
{
    if (!skip(in, '"'))
        return 0;
    const char *close = memchr(in->at, '"', (size_t)(in->end - in->at));
    if (close == NULL)
        return 0;
    *out = (word){in->at, (size_t)(close - in->at)};
    in->at = close + 1;
    return 1;
}

static inline int unescaped(word it)
{
    for (size_t i = 0; i < it.n; i++)
        if (it.at[i] == '\\' || (unsigned char)it.at[i] < 0x20)
            return 0;
    return 1;
}

#endif
