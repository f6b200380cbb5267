// Tests of WeirRegex.
