// Shims: one-line `static inline` functions for what Swift cannot import (function-like macros, variadic functions,
// GNU extensions). No logic lives here. One section per library; names begin with `weir_`.
#pragma once
// _GNU_SOURCE must not be defined here: it changes the layout of glibc's types, which Swift has imported without it.

// ---------------------------------------------------------------------------------------------------------- libev
#include <ev.h>

typedef void (*weir_ev_io_callback)(struct ev_loop *loop, ev_io *watcher, int events);
typedef void (*weir_ev_timer_callback)(struct ev_loop *loop, ev_timer *watcher, int events);
typedef void (*weir_ev_prepare_callback)(struct ev_loop *loop, ev_prepare *watcher, int events);
typedef void (*weir_ev_check_callback)(struct ev_loop *loop, ev_check *watcher, int events);
typedef void (*weir_ev_idle_callback)(struct ev_loop *loop, ev_idle *watcher, int events);

static inline void weir_ev_io_init(ev_io *w, weir_ev_io_callback cb, int fd) { ev_io_init(w, cb, fd, 0); }
// Keeps libev's note that the kernel knows this descriptor already, so that a change costs at most one epoll_ctl.
static inline void weir_ev_io_modify(ev_io *w, int events) { w->events = (w->events & EV__IOFDSET) | events; }
static inline void weir_ev_timer_init(ev_timer *w, weir_ev_timer_callback cb) { ev_timer_init(w, cb, 0., 0.); }
static inline void weir_ev_timer_set(ev_timer *w, double after) { ev_timer_set(w, after, 0.); }
static inline void weir_ev_prepare_init(ev_prepare *w, weir_ev_prepare_callback cb) {
    ev_prepare_init(w, cb);
    ev_set_priority(w, EV_MINPRI);
}
static inline void weir_ev_check_init(ev_check *w, weir_ev_check_callback cb) {
    ev_check_init(w, cb);
    ev_set_priority(w, EV_MAXPRI);
}
static inline void weir_ev_idle_init(ev_idle *w, weir_ev_idle_callback cb) { ev_idle_init(w, cb); }

// ---------------------------------------------------------------------------------------------- system calls (Linux)
#include <errno.h>
#include <stdint.h>
#include <malloc.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline int weir_eventfd_open(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }
static inline int weir_signalfd_open(const sigset_t *set) { return signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK); }
static inline int weir_inotify_open(void) { return inotify_init1(IN_CLOEXEC | IN_NONBLOCK); }
static inline int weir_accept(int fd, struct sockaddr *address, socklen_t *length) {
    return (int)syscall(SYS_accept4, fd, address, length, SOCK_CLOEXEC | SOCK_NONBLOCK);
}
// The kernel keeps 15 bytes.
static inline void weir_name_this_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }
// Keeps the calling thread on one of the first 64 processors; nothing changes if there is none of that number.
static inline void weir_run_on(unsigned core) {
    uint64_t mask = core < 64 ? (uint64_t)1 << core : 0;
    syscall(SYS_sched_setaffinity, 0, sizeof mask, &mask);
}
static inline void weir_malloc_trim(void) { malloc_trim(0); }
// So many lines of a cache; never faults, whatever the address.
static inline void weir_prefetch(uintptr_t address, unsigned lines) {
    for (uintptr_t end = address + 64 * lines; address < end; address += 64) __builtin_prefetch((const void *)address, 1, 2);
}
// Compilers take away a pair of malloc and free that nobody could notice.
static inline void weir_malloc_ahead(size_t bytes) {
    void *block = malloc(bytes);
    __asm__ volatile("" : : "r"(block) : "memory");
    free(block);
}

// -------------------------------------------------------------------------------------------------------- OpenSSL
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

static inline int weir_ssl_ctx_set_min_version(SSL_CTX *c, int v) { return SSL_CTX_set_min_proto_version(c, v); }
static inline void weir_ssl_ctx_set_mode(SSL_CTX *c, long mode) { SSL_CTX_set_mode(c, mode); }
static inline void weir_ssl_ctx_session_cache_off(SSL_CTX *c) {
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
}
static inline int weir_ssl_set_sni(SSL *s, const char *name) { return (int)SSL_set_tlsext_host_name(s, name); }
static inline void weir_ssl_set_data(SSL *s, void *data) { SSL_set_app_data(s, data); }
static inline void *weir_ssl_get_data(const SSL *s) { return SSL_get_app_data(s); }
static inline void weir_bio_set_retry_read(BIO *b) { BIO_set_retry_read(b); }
static inline void weir_bio_clear_retry(BIO *b) { BIO_clear_retry_flags(b); }
static inline uint64_t weir_ssl_op_no_renegotiation(void) { return SSL_OP_NO_RENEGOTIATION; }
static inline uint64_t weir_ssl_op_no_ticket(void) { return SSL_OP_NO_TICKET; }
static inline unsigned long weir_x509_name_rfc2253(void) { return XN_FLAG_RFC2253; }
static inline int weir_err_lib(unsigned long e) { return ERR_GET_LIB(e); }
static inline int weir_err_reason(unsigned long e) { return ERR_GET_REASON(e); }
static inline int weir_err_is_system(unsigned long e) { return ERR_SYSTEM_ERROR(e) ? 1 : 0; }
static inline int weir_general_names_count(const GENERAL_NAMES *n) { return sk_GENERAL_NAME_num(n); }
static inline GENERAL_NAME *weir_general_names_at(const GENERAL_NAMES *n, int i) { return sk_GENERAL_NAME_value(n, i); }

// -------------------------------------------------------------------------------------------------------- libcurl
#include <curl/curl.h>

typedef size_t (*weir_curl_write_callback)(char *bytes, size_t size, size_t count, void *context);

static inline CURLcode weir_curl_set_text(CURL *c, CURLoption o, const char *v) { return curl_easy_setopt(c, o, v); }
static inline CURLcode weir_curl_set_number(CURL *c, CURLoption o, long v) { return curl_easy_setopt(c, o, v); }
static inline CURLcode weir_curl_set_pointer(CURL *c, CURLoption o, void *v) { return curl_easy_setopt(c, o, v); }
static inline CURLcode weir_curl_set_list(CURL *c, CURLoption o, struct curl_slist *v) {
    return curl_easy_setopt(c, o, v);
}
static inline CURLcode weir_curl_set_writer(CURL *c, weir_curl_write_callback callback, void *context) {
    curl_easy_setopt(c, CURLOPT_WRITEDATA, context);
    return curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, callback);
}
static inline CURLcode weir_curl_get_number(CURL *c, CURLINFO i, long *v) { return curl_easy_getinfo(c, i, v); }
static inline CURLcode weir_curl_get_text(CURL *c, CURLINFO i, char **v) { return curl_easy_getinfo(c, i, v); }
static inline CURLcode weir_curl_global_init(void) { return curl_global_init(CURL_GLOBAL_DEFAULT); }
