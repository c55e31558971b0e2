#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE
#endif
#include "tls.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* as in link.c */
#endif

struct tls_end {
    SSL *ssl;
    int fd;
    int error;  /* errno of what the kernel refused, 0: nothing */
    int broken; /* nothing can be said to the peer any more */
};

/* ---- the socket, as OpenSSL sees it ---------------------------------------------------------- */

/* Its own kind of socket may raise SIGPIPE, and blocks where the socket does. */

/* direction: of the call that the kernel refused, as a BIO's flag. */
static int refused(BIO *bio, int direction)
{
    tls_end *end = BIO_get_data(bio);
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        BIO_set_flags(bio, direction | BIO_FLAGS_SHOULD_RETRY);
    else
        end->error = errno;
    return -1;
}

static int socket_read(BIO *bio, char *room, int n)
{
    tls_end *end = BIO_get_data(bio);
    ssize_t got;
    BIO_clear_retry_flags(bio);
    do
        got = recv(end->fd, room, (size_t)n, MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    return got >= 0 ? (int)got : refused(bio, BIO_FLAGS_READ);
}

static int socket_write(BIO *bio, const char *bytes, int n)
{
    tls_end *end = BIO_get_data(bio);
    ssize_t took;
    BIO_clear_retry_flags(bio);
    do
        took = send(end->fd, bytes, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (took < 0 && errno == EINTR);
    return took >= 0 ? (int)took : refused(bio, BIO_FLAGS_WRITE);
}

static long socket_ctrl(BIO *bio, int what, long number, void *thing)
{
    (void)bio, (void)number, (void)thing;
    return what == BIO_CTRL_FLUSH; /* there is nothing to flush, and it is done */
}

/* For the process's life: an end may outlive its trust. */
static BIO_METHOD *socket_method;
static CRYPTO_ONCE made = CRYPTO_ONCE_STATIC_INIT;

static void make_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "relay's socket");
    if (method != NULL && BIO_meth_set_read(method, socket_read) &&
        BIO_meth_set_write(method, socket_write) && BIO_meth_set_ctrl(method, socket_ctrl))
        socket_method = method;
}

/* ---- trust ----------------------------------------------------------------------------------- */

/* Before TLS 1.3, as Python's ssl has it: forward secrecy, and no SHA-1. */
static const char ciphers[] =
    "@SECLEVEL=2:ECDH+AESGCM:ECDH+CHACHA20:ECDH+AES:DHE+AES:!aNULL:!eNULL:!aDSS:!SHA1:!AESCCM";

tls_trust *tls_trust_open(void)
{
    if (!CRYPTO_THREAD_run_once(&made, make_method) || socket_method == NULL)
        return NULL;
    SSL_CTX *trust = SSL_CTX_new(TLS_client_method());
    if (trust == NULL)
        return NULL;
    if (!SSL_CTX_set_min_proto_version(trust, TLS1_2_VERSION) ||
        !SSL_CTX_set_cipher_list(trust, ciphers)) {
        SSL_CTX_free(trust);
        ERR_clear_error();
        return NULL;
    }
    SSL_CTX_set_verify(trust, SSL_VERIFY_PEER, NULL);
    /* An authority that is believed is believed, whether it signed itself or not. */
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(trust), X509_V_FLAG_PARTIAL_CHAIN);
    /* Without renegotiation no write ever waits for a read. */
    SSL_CTX_set_options(trust, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    /* An out-buffer moves and grows between two tries. Of two 17 KiB a call has none while silent. */
    SSL_CTX_set_mode(trust, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS);
    /* Else each record takes two calls of the kernel, one for its head. */
    SSL_CTX_set_read_ahead(trust, 1);
    SSL_CTX_set_session_cache_mode(trust, SSL_SESS_CACHE_OFF);
    return trust;
}

void tls_trust_close(tls_trust *trust) { SSL_CTX_free(trust); }

void tls_trust_system(tls_trust *trust)
{
    SSL_CTX_set_default_verify_paths(trust);
    ERR_clear_error();
}

int tls_trust_these(tls_trust *trust, const char *file, const char *folder)
{
    int read = SSL_CTX_load_verify_locations(trust, file, folder);
    ERR_clear_error();
    return read == 1 ? 0 : -1;
}

const char *tls_system_file(void) { return X509_get_default_cert_file(); }

/* ---- a connection ---------------------------------------------------------------------------- */

/* Whom the certificate must name. Returns whether that can be checked. */
static int expect(SSL *ssl, const char *host, size_t n)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    char name[256]; /* the longest there is has 253 */
    /* To OpenSSL no name means any, and one with a dot in front all below it. */
    if (n == 0 || n >= sizeof name || host[0] == '.' || memchr(host, 0, n) != NULL)
        return 0;
    memcpy(name, host, n);
    name[n] = 0;
    if (X509_VERIFY_PARAM_set1_ip_asc(param, name))
        return 1; /* and an address is not told to the server: RFC 6066, 3 */
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return X509_VERIFY_PARAM_set1_host(param, name, n) && SSL_set_tlsext_host_name(ssl, name);
}

tls_end *tls_open(tls_trust *trust, int fd, const char *host, size_t n)
{
    tls_end *end = calloc(1, sizeof *end);
    if (end == NULL)
        return NULL;
    end->fd = fd;
    end->ssl = SSL_new(trust);
    BIO *bio = BIO_new(socket_method);
    if (end->ssl == NULL || bio == NULL || !expect(end->ssl, host, n)) {
        BIO_free(bio);
        tls_close(end);
        ERR_clear_error();
        return NULL;
    }
    BIO_set_data(bio, end);
    BIO_set_init(bio, 1);
    SSL_set_bio(end->ssl, bio, bio);
    ERR_clear_error();
    return end;
}

void tls_close(tls_end *end)
{
    if (end != NULL)
        SSL_free(end->ssl);
    free(end);
}

/* What became of a call that did not succeed. */
static int outcome(tls_end *end, int done)
{
    int what = SSL_get_error(end->ssl, done);
    end->broken |= what == SSL_ERROR_SSL || what == SSL_ERROR_SYSCALL;
    return what;
}

static void explain(tls_end *end, char *why, size_t n)
{
    long verdict = SSL_get_verify_result(end->ssl);
    const char *reason = ERR_reason_error_string(ERR_peek_error());
    if (verdict != X509_V_OK)
        snprintf(why, n, "certificate verify failed: %s", X509_verify_cert_error_string(verdict));
    else if (end->error)
        snprintf(why, n, "%s", strerror(end->error));
    else
        snprintf(why, n, "%s", reason != NULL ? reason : "the peer ended the connection");
}

int tls_shake_hands(tls_end *end, char *why, size_t n)
{
    ERR_clear_error();
    int done = SSL_connect(end->ssl);
    if (done == 1)
        return TLS_DONE;
    switch (outcome(end, done)) {
    case SSL_ERROR_WANT_READ:
        return TLS_WANTS_READ;
    case SSL_ERROR_WANT_WRITE:
        return TLS_WANTS_WRITE;
    default:
        explain(end, why, n);
        ERR_clear_error();
        return TLS_REFUSED;
    }
}

ptrdiff_t tls_receive(tls_end *end, uint8_t *room, size_t n, int *more)
{
    size_t got = 0;
    *more = 0;
    ERR_clear_error();
    do {
        size_t some = 0;
        int done = SSL_read_ex(end->ssl, room + got, n - got, &some);
        if (done != 1) {
            int what = outcome(end, done);
            ERR_clear_error();
            if (what == SSL_ERROR_WANT_READ || what == SSL_ERROR_WANT_WRITE)
                return (ptrdiff_t)got;
            *more = got > 0;
            return got > 0 ? (ptrdiff_t)got : -1;
        }
        got += some;
    } while (got < n && SSL_has_pending(end->ssl));
    *more = SSL_has_pending(end->ssl);
    return (ptrdiff_t)got;
}

ptrdiff_t tls_send(tls_end *end, const uint8_t *bytes, size_t n)
{
    size_t took = 0;
    ERR_clear_error();
    int done = SSL_write_ex(end->ssl, bytes, n, &took);
    if (done == 1)
        return (ptrdiff_t)took;
    int what = outcome(end, done);
    ERR_clear_error();
    return what == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

void tls_shut(tls_end *end)
{
    if (end->broken)
        return;
    ERR_clear_error();
    SSL_shutdown(end->ssl);
    ERR_clear_error();
}
