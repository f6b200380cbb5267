// Tests of WeirTLS.
