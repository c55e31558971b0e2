/* TLS for a link's bytes, as a client, by OpenSSL on a socket that does not block.
 *
 * A trust is what all connections share: which authorities are believed, and how. A peer is always
 * verified, its certificate and the name in it. An end is one connection. It is used from one thread
 * at a time, and does not own its socket.
 *
 * What was decrypted and not taken is no news to epoll; `tls_receive` says when there is any.
 */
#ifndef RELAY_TLS_H
#define RELAY_TLS_H

#include <stddef.h>
#include <stdint.h>

typedef struct ssl_ctx_st tls_trust;
typedef struct tls_end tls_end;

enum {
    TLS_DONE = 0,
    TLS_WANTS_READ = 1,  /* go on when the socket can be read */
    TLS_WANTS_WRITE = 2, /* go on when it can be written */
    TLS_REFUSED = -1,    /* by either side, or the connection is gone: `why` says */
};

/* One that believes nobody yet. NULL: no memory. */
tls_trust *tls_trust_open(void);

/* The ends that were opened with it may go on. */
void tls_trust_close(tls_trust *trust);

/* Believe the authorities where OpenSSL looks for them: SSL_CERT_FILE and SSL_CERT_DIR, or the paths
 * that it was built with. What is not there is not believed, and nothing else. */
void tls_trust_system(tls_trust *trust);

/* Believe those in a file and in a folder of hashed names. NULL: none. Returns 0, or -1 if they
 * cannot be read. */
int tls_trust_these(tls_trust *trust, const char *file, const char *folder);

/* The file that OpenSSL was built to look for; it tells one build from another. */
const char *tls_system_file(void);

/* host: n bytes, a name in ASCII or an address, which the peer's certificate must have. NULL: it is
 * neither, or there is no memory. */
tls_end *tls_open(tls_trust *trust, int fd, const char *host, size_t n);
void tls_close(tls_end *end);

/* Go on with the handshake. Returns one of the above; why: of a refusal, as a string. */
int tls_shake_hands(tls_end *end, char *why, size_t n);

/* Receive at most n bytes, all that is there. Returns how many, 0 for none now, -1 at the end.
 * more: whether to ask again whatever epoll says, since not all fitted in, or the end came behind. */
ptrdiff_t tls_receive(tls_end *end, uint8_t *room, size_t n, int *more);

/* Send some of n bytes, of which there is one at least. Returns how many, 0 for none now, -1 if the
 * connection is gone. What was not taken must be offered again before anything else, with more
 * behind it if one likes. */
ptrdiff_t tls_send(tls_end *end, const uint8_t *bytes, size_t n);

/* Say that no more will be sent, if the kernel takes it at once. */
void tls_shut(tls_end *end);

#endif
