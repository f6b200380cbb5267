// Tests of WeirEngine.
