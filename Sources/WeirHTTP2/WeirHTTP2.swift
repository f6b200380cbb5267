// WeirHTTP2
