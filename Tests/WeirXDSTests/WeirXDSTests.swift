// Tests of WeirXDS.
