// Tests of WeirBase.
