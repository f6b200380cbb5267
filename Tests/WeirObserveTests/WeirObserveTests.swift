// Tests of WeirObserve.
