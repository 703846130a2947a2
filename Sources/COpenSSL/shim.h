#ifndef CAUSEWAY_COPENSSL_SHIM_H
#define CAUSEWAY_COPENSSL_SHIM_H
#include <openssl/ssl.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

// OpenSSL spells many of its calls as function-like macros, which Swift cannot import. Each is given a name here.

static inline int cw_ssl_ctx_set_min_version(SSL_CTX *ctx, int version) {
    return (int)SSL_CTX_set_min_proto_version(ctx, version);
}

static inline int cw_ssl_ctx_set_max_version(SSL_CTX *ctx, int version) {
    return (int)SSL_CTX_set_max_proto_version(ctx, version);
}

static inline void cw_ssl_ctx_enable_client_cache(SSL_CTX *ctx) {
    // The application keeps the sessions: OpenSSL's own cache is never consulted by a client.
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
}

static inline int cw_ssl_ctx_new_index(void) {
    return SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
}

static inline uint64_t cw_ssl_safe_options(void) {
    return SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION;
}

// OpenSSL asks on the terminal for the password of an encrypted key unless told otherwise; a service must not.
static inline int cw_refuse_key_password(char *buffer, int size, int writing, void *context) {
    (void)buffer; (void)size; (void)writing; (void)context;
    return -1;
}

// A partly written record may be continued from wherever the bytes are by then: the caller's buffer moves.
static inline void cw_ssl_partial_writes(SSL *ssl) {
    SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

static inline int cw_ssl_set_server_name(SSL *ssl, const char *name) {
    return (int)SSL_set_tlsext_host_name(ssl, name);
}

static inline void cw_ssl_ctx_never_prompt(SSL_CTX *ctx) {
    SSL_CTX_set_default_passwd_cb(ctx, cw_refuse_key_password);
}
#endif
