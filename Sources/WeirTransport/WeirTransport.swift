// WeirTransport
