// Tests of WeirTransport.
