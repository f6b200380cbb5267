// Tests of WeirRules.
