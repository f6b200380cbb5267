// Tests of WeirHTTP2.
