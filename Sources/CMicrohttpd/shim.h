#pragma once
#include <microhttpd.h>
#include <string.h>

// Leaves percent-encoding as it is: whoever reads a path wants to tell "/" from "%2F". `+` in a query is a space by then.
static inline size_t weir_mhd_keep_encoded(void *context, struct MHD_Connection *connection, char *text) {
    (void)context;
    (void)connection;
    return strlen(text);
}

// MHD_start_daemon is variadic, which Swift does not import. `context` goes to both callbacks.
//
// poll, not epoll: when 0.9.75 takes exactly 128 events from epoll at once (its array's size) it waits again, for up to
// the connection timeout, before it looks at any of them. So few connections cost poll nothing.
static inline struct MHD_Daemon *weir_mhd_start(
    int listen_socket, unsigned int connections_max, unsigned int timeout_seconds, MHD_AccessHandlerCallback access,
    MHD_RequestCompletedCallback completed, void *context) {
    return MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, access, context,
        MHD_OPTION_LISTEN_SOCKET, listen_socket, MHD_OPTION_CONNECTION_LIMIT, connections_max,
        MHD_OPTION_CONNECTION_TIMEOUT, timeout_seconds, MHD_OPTION_NOTIFY_COMPLETED, completed, context,
        MHD_OPTION_UNESCAPE_CALLBACK, weir_mhd_keep_encoded, NULL, MHD_OPTION_END);
}

static inline int weir_mhd_has_tls(void) { return MHD_is_feature_supported(MHD_FEATURE_TLS) == MHD_YES; }

// The same with TLS 1.2 and 1.3; key and chain are PEM and are read during the call.
static inline struct MHD_Daemon *weir_mhd_start_tls(
    int listen_socket, unsigned int connections_max, unsigned int timeout_seconds, MHD_AccessHandlerCallback access,
    MHD_RequestCompletedCallback completed, void *context, const char *key, const char *chain) {
    return MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_TLS, 0, NULL, NULL, access,
        context, MHD_OPTION_LISTEN_SOCKET, listen_socket, MHD_OPTION_CONNECTION_LIMIT, connections_max,
        MHD_OPTION_CONNECTION_TIMEOUT, timeout_seconds, MHD_OPTION_NOTIFY_COMPLETED, completed, context,
        MHD_OPTION_HTTPS_MEM_KEY, key, MHD_OPTION_HTTPS_MEM_CERT, chain, MHD_OPTION_HTTPS_PRIORITIES,
        "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2", MHD_OPTION_UNESCAPE_CALLBACK, weir_mhd_keep_encoded, NULL,
        MHD_OPTION_END);
}

// Borrowed from the connection; NULL if it has none.
static inline const struct sockaddr *weir_mhd_client(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    return info ? info->client_addr : NULL;
}

// The size of the kernel's send buffer; best effort.
static inline void weir_mhd_small_send_buffer(struct MHD_Connection *connection, int bytes) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (info) (void)setsockopt(info->connect_fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}
