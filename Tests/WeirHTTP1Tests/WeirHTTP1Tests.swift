// Tests of WeirHTTP1.
