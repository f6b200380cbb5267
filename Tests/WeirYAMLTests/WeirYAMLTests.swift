// Tests of WeirYAML.
