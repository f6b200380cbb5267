#pragma once
#include <microhttpd.h>

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
        MHD_OPTION_END);
}

// The address of a connection's other end; NULL if it has none. MHD_get_connection_info is variadic too.
static inline const struct sockaddr *weir_mhd_peer(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    return info == NULL ? NULL : info->client_addr;
}
