/* Base64 as RFC 4648 section 4 has it, both ways, whole or not at all.
 *
 *      bytes   aaaaaaaa bbbbbbbb cccccccc        3 bytes
 *      chars   aaaaaa aabbbb bbbbcc cccccc       4 characters of 6 bits
 *
 * The last group may hold 1 byte ("xx==", 4 bits must be zero) or 2 ("xxx=", 2 bits must be zero).
 * The decoder refuses all else: a character outside the alphabet (white space too), padding
 * missing, misplaced or in excess, and left-over bits that are not zero. So every accepted text is
 * the one and only encoding of its bytes.
 */
#ifndef RELAY_BASE64_H
#define RELAY_BASE64_H

#include <stddef.h>
#include <stdint.h>

/* Characters that n bytes become. */
static inline size_t base64_length(size_t n) { return (n + 2) / 3 * 4; }

/* Bytes that n characters become, at most. */
static inline size_t base64_bound(size_t n) { return n / 4 * 3; }

/* Writes base64_length(n) characters, no terminating zero; returns how many. No overlap. */
size_t base64_encode(const uint8_t *in, size_t n, char *out);

/* Writes at most base64_bound(n) bytes; returns how many, or -1 if `in` is not base64 (what `out`
 * holds then is undefined). No overlap. */
ptrdiff_t base64_decode(const char *in, size_t n, uint8_t *out);

#endif
