// Tests of WeirConfig.
