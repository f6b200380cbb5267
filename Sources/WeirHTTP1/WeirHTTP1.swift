// WeirHTTP1
