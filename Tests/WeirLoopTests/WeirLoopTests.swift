// Tests of WeirLoop.
