// Tests of WeirTestSupport.
